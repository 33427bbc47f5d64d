"""What tells the codes of a cell from its final state: the output layer.

With one codebook it is one product, logits = h W^T + b, where W are the rows that also embed the
codes. With several, a cell's codes are told one after another,

    p(c_0 | h) p(c_1 | h, c_0) ...,    logits_k = (h + f_k(embedding of c_0 .. c_k-1)) W_k^T + b_k

each by the rows of its own codebook. f_k, a link, is small and begins as nothing: the codes of a
cell start out independent. It does not look at h, so guidance stays a sum of hidden states.

Shapes: N cells, D width, V codes of a codebook, K codes told so far.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch.nn.functional as F
from torch import Tensor, nn

LINK_WIDTH = 128


class Link(nn.Module):
    """f_k: what the codes of a cell so far, embedded, add to its state; at first nothing."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Linear(width, LINK_WIDTH)
        self.out = nn.Linear(LINK_WIDTH, width, bias=False)
        nn.init.normal_(self.enter.weight, std=width**-0.5)
        nn.init.zeros_(self.enter.bias)
        nn.init.zeros_(self.out.weight)

    def forward(self, embedded_ND: Tensor) -> Tensor:
        embedded_ND = F.rms_norm(embedded_ND, embedded_ND.shape[-1:])
        told: Tensor = self.out(F.silu(self.enter(embedded_ND)))
        return told


@dataclass(frozen=True)
class CodeStates:
    """Final states of N cells with the output layer behind them.

    `rows_CD` and `bias_C` are those of all codebooks, one after another; a link stands before each
    codebook but the first.
    """

    hidden_ND: Tensor
    rows_CD: Tensor
    bias_C: Tensor
    links: Sequence[Callable[[Tensor], Tensor]] = ()

    @property
    def codebooks(self) -> int:
        return len(self.links) + 1

    @property
    def size(self) -> int:
        """V, the codes of one codebook."""
        return len(self.rows_CD) // self.codebooks

    @cached_property
    def first(self) -> Tensor:
        """Logits of the first codebook's codes, (N, V)."""
        return self.told(self.hidden_ND, 0)

    def after(self, codes_NK: Tensor) -> Tensor:
        """Logits of the next codebook's codes, (N, V), after those of the first K codebooks.

        They count through the codebooks (`vqgan.quantizer.split_codes`).
        """
        count = codes_NK.shape[1]
        embedded_ND = F.embedding(codes_NK, self.rows_CD).sum(1)
        return self.told(self.hidden_ND + self.links[count - 1](embedded_ND), count)

    def told(self, hidden_ND: Tensor, k: int) -> Tensor:
        own = slice(k * self.size, (k + 1) * self.size)
        return F.linear(hidden_ND, self.rows_CD[own], self.bias_C[own])


def prediction(states: CodeStates) -> Tensor | CodeStates:
    """What a sampler is given: logits (N, V) of one codebook, the states of several."""
    return states.first if states.codebooks == 1 else states


def make_links(width: int, codebooks: int) -> nn.ModuleList:
    """The links of a model, none where it has one codebook."""
    return nn.ModuleList(Link(width) for _ in range(codebooks - 1))
