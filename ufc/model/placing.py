"""Moving modules to a device, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


def probe_device(device: torch.device) -> None:
    """Raise `ValueError` where nothing can be placed on a device."""
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, NotImplementedError, AssertionError) as error:
        said = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"device is {str(device)!r}, which cannot be used here ({said}); choose cpu"
        ) from None


@contextmanager
def as_they_were(*modules: nn.Module) -> Iterator[None]:
    """Put every parameter and buffer back where an error ends the block."""
    before: list[tuple[dict[str, Any], str, Tensor, Tensor]] = [
        (tensors, name, tensor, tensor.data)
        for module in modules
        for part in module.modules()
        for tensors in (part._parameters, part._buffers)
        for name, tensor in tensors.items()
        if tensor is not None
    ]
    try:
        yield
    except BaseException:
        for tensors, name, tensor, data in before:
            tensor.data = data
            tensors[name] = tensor
        raise
