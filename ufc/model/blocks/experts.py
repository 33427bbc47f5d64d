"""Sparse experts in place of a block's feed-forward part, with the expert prototyping of M6-T.

Experts stand in Z groups (prototypes) of M, every group with a gate of its own. A token goes to
the likeliest expert of each group, and what those say is added up (Yang et al. 2021,
arXiv:2105.15082):

    y = sum over z of p_z,i(z) E_z,i(z)(x),   i(z) = argmax p_z,   p_z = softmax(W_z x)

With one prototype that is the routing of a Switch transformer, with one expert a dense block.

Capacity bounds what an expert takes in a training step; who comes later passes by it, through the
block's skip connection alone. It is a matter of training: who is turned away depends on the rest
of the batch, and a picture that is generated must not, so there every token is served.

Shapes: N tokens, D width, F feed-forward width, Z prototypes, M experts of one, E = Z M experts in
all, K experts that a token has within a prototype, A = K N Z assignments.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Routing:
    """What became of the tokens of one pass through one block.

    `load_ZM` counts who asked for each expert, before anybody is turned away; `dropped` is the
    share of the assignments that were; `balance` is Switch's loss, M times the sum of load share
    times mean gate: 1 where all is even, up to M.
    """

    load_ZM: Tensor
    dropped: Tensor
    balance: Tensor

    @property
    def imbalance(self) -> Tensor:
        """Standard deviation of the load over its mean, averaged over the prototypes."""
        mean_Z = self.load_ZM.mean(1).clamp_min(1e-9)
        return (self.load_ZM.std(1, correction=0) / mean_Z).mean()


class Experts(nn.Module):
    """SwiGLU feed-forward parts, of which a token sees few.

    Gates are parameters and no linear layer: rounded to 8 bits, they would choose other experts.
    """

    def __init__(
        self,
        width: int,
        feed_forward: int,
        experts: int,
        prototypes: int = 1,
        capacity_factor: float = 1.25,
        choices: int = 1,
    ) -> None:
        """`choices` of more than 1 is plain top-k, with the gates of the chosen scaled to 1."""
        super().__init__()
        self.prototypes = prototypes
        self.choices = choices
        self.capacity_factor = capacity_factor
        self.gate = nn.Parameter(torch.empty(experts, width))
        self.gate_up = nn.Parameter(torch.empty(experts, 2 * feed_forward, width))
        self.down = nn.Parameter(torch.empty(experts, width, feed_forward))
        self.passes: list[Routing] = []
        self.initialise()

    def initialise(self, std: float = 0.02, std_down: float = 0.02) -> None:
        for weight, spread in ((self.gate, std), (self.gate_up, std), (self.down, std_down)):
            nn.init.normal_(weight, std=spread)

    def forward(self, x: Tensor, present: Tensor | None = None) -> Tensor:
        """(..., D) to the same; tokens that are not `present` (...) are padding and get nothing."""
        x_ND = x.reshape(-1, x.shape[-1])
        out_ND = torch.zeros_like(x_ND)
        rows_N = torch.arange(len(x_ND), device=x.device)
        if present is not None:
            rows_N = rows_N[present.flatten()]
            x_ND = x_ND[rows_N]
        p_NZM = self.probabilities(x_ND)
        gates_NZK, chosen_NZK = self.choose(p_NZM)
        counts = torch.bincount(chosen_NZK.flatten(), minlength=len(self.gate))
        capacity = self.capacity(len(x_ND)) if self.training else len(x_ND)
        if self.training and torch.is_grad_enabled():
            self.passes.append(self.routing(p_NZM, counts, capacity))
        # By expert, within one first choices before second ones, and then as they stand.
        order_A = chosen_NZK.permute(2, 0, 1).flatten().argsort(stable=True)
        gates_A = gates_NZK.permute(2, 0, 1).flatten()[order_A].to(x.dtype)
        tokens_A = order_A // self.prototypes % max(1, len(x_ND))
        start = 0
        weights = zip(self.gate_up.unbind(), self.down.unbind(), counts.tolist(), strict=True)
        for gate_up, down, count in weights:
            taken = slice(start, start + min(count, capacity))
            start += count
            if count:
                own = tokens_A[taken]
                gate, up = F.linear(x_ND[own], gate_up).chunk(2, dim=-1)
                fed = F.linear(F.silu(gate) * up, down) * gates_A[taken, None]
                out_ND.index_add_(0, rows_N[own], fed.to(out_ND.dtype))
        return out_ND.view_as(x)

    def probabilities(self, x_ND: Tensor) -> Tensor:
        """Each prototype's gate, (N, Z, M), in float32 whatever the rest is computed in."""
        with torch.autocast(x_ND.device.type, enabled=False):
            logits_NE = F.linear(x_ND.float(), self.gate.float())
            return logits_NE.unflatten(1, (self.prototypes, -1)).softmax(-1)

    def choose(self, p_NZM: Tensor) -> tuple[Tensor, Tensor]:
        """Gates and numbers (0..E-1) of the experts that each token asks for, (N, Z, K)."""
        gates_NZK, within_NZK = p_NZM.topk(self.choices, dim=-1)
        if self.choices > 1:
            gates_NZK = gates_NZK / gates_NZK.sum(-1, keepdim=True)
        first_Z1 = torch.arange(self.prototypes, device=p_NZM.device)[:, None] * p_NZM.shape[-1]
        return gates_NZK, within_NZK + first_Z1

    def capacity(self, tokens: int) -> int:
        """How many tokens an expert takes."""
        share = self.choices * self.prototypes / len(self.gate)
        return max(1, math.ceil(round(self.capacity_factor * tokens * share, 6)))

    def routing(self, p_NZM: Tensor, counts_E: Tensor, capacity: int) -> Routing:
        load_ZM = counts_E.view(self.prototypes, -1).float()
        total = load_ZM.sum().clamp_min(1)
        share_ZM = load_ZM / load_ZM.sum(1, keepdim=True).clamp_min(1)
        return Routing(
            load_ZM=load_ZM,
            dropped=(load_ZM - capacity).clamp_min(0).sum() / total,
            balance=load_ZM.shape[1] * (share_ZM * p_NZM.mean(0)).sum(1).mean(),
        )


def take_routing(model: nn.Module) -> list[Routing]:
    """What the experts of a model have noted since this was last asked, in training alone."""
    found: list[Routing] = []
    for module in model.modules():
        if isinstance(module, Experts):
            found += module.passes
            module.passes = []
    return found
