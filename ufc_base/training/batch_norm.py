"""Batch normalisation over the batch of all processes, on any device.

torch's SyncBatchNorm wants a GPU; this one lets what runs on many GPUs be tested on a CPU.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class SumOverProcesses(torch.autograd.Function):
    """A sum whose gradient is the sum of the processes' gradients."""

    @staticmethod
    def forward(context: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


class SharedBatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d` with the statistics of all processes' batches, of equal sizes."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x_BCHW)
        x = x_BCHW.float()
        processes = dist.get_world_size()
        mean_C = mean_over_processes(x.mean((0, 2, 3)), processes)
        centred = x - mean_C[:, None, None]
        variance_C = mean_over_processes(centred.square().mean((0, 2, 3)), processes)
        if self.running_mean is not None and self.running_var is not None:
            count = processes * x.numel() / x.shape[1]
            with torch.no_grad():
                self.running_mean.lerp_(mean_C, self.momentum or 0.1)
                self.running_var.lerp_(variance_C * count / (count - 1), self.momentum or 0.1)
        scale_C = self.weight * (variance_C + self.eps).rsqrt()
        return (centred * scale_C[:, None, None] + self.bias[:, None, None]).to(x_BCHW.dtype)


def mean_over_processes(value: Tensor, processes: int) -> Tensor:
    total: Tensor = SumOverProcesses.apply(value)
    return total / processes


def share_batch_norm(module: nn.Module) -> nn.Module:
    """The module with every `nn.BatchNorm2d` replaced, weights and all."""
    for name, part in module.named_children():
        if type(part) is nn.BatchNorm2d:
            shared = SharedBatchNorm2d(part.num_features, part.eps, part.momentum or 0.1)
            shared.load_state_dict(part.state_dict())
            setattr(module, name, shared.to(part.weight.device))
        else:
            share_batch_norm(part)
    return module
