"""Controls that were run once, and how a pass over targets attends to them.

Shapes: B batch, C control tokens, S target cells and score tokens, N heads, D width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ufc.model.attention import Piece

KeysValues = tuple[Tensor, Tensor]

# Padding may take this share of all keys before rows of different lengths are attended apart.
PADDING = 0.1


@dataclass(frozen=True)
class Prefix:
    """Controls ready to be looked at by any number of target passes.

    `layers` holds a (keys, values) pair of shape (B, C, N, D / N) for every block; in full
    attention it is empty and the embedded controls are run along with each target. `lengths` are
    the rows' tokens without padding, `bias_BC` is added to the scores of each token: the logarithm
    of its weight, -inf for padding, None where there is neither. Every row serves `copies` targets
    that follow one another.
    """

    layers: list[KeysValues]
    embedded_BCD: Tensor
    table: Tensor
    lengths: tuple[int, ...]
    bias_BC: Tensor | None = None
    weighted: bool = False
    hidden_BCD: Tensor | None = None
    copies: int = 1

    def take(self, index_M: Tensor) -> Prefix:
        """The prefixes of the given batch rows, in order (rows may repeat).

        Rows that repeat equally often, as candidates do, are not stored again.
        """
        rows, counts = torch.unique_consecutive(index_M, return_counts=True)
        copies = int(counts[0]) if self.layers and bool((counts == counts[0]).all()) else 1
        taken = rows if copies > 1 else index_M
        chosen = taken.tolist()
        if chosen == list(range(len(self.lengths))):
            return replace(self, copies=copies)
        return replace(
            self,
            layers=[(k[taken], v[taken]) for k, v in self.layers],
            embedded_BCD=self.embedded_BCD[taken],
            table=self.table[:, taken],
            lengths=tuple(self.lengths[row] for row in chosen),
            bias_BC=None if self.bias_BC is None else self.bias_BC[taken],
            hidden_BCD=None,
            copies=copies,
        )


def join(first: Prefix, second: Prefix) -> Prefix:
    """The rows of both, padded to one length."""
    most = max(first.embedded_BCD.shape[1], second.embedded_BCD.shape[1])

    def rows(a: Tensor, b: Tensor, dim: int = 1, value: float = 0.0) -> Tensor:
        def pad(x: Tensor) -> Tensor:
            behind = [0, 0] * (x.ndim - 1 - dim) + [0, most - x.shape[dim]]
            return F.pad(x, behind, value=value)

        return torch.cat([pad(a), pad(b)], dim=dim - 1)

    def bias(prefix: Prefix) -> Tensor:
        if prefix.bias_BC is not None:
            return prefix.bias_BC
        return prefix.embedded_BCD.new_zeros(prefix.embedded_BCD.shape[:2])

    both = first.lengths + second.lengths
    empty = first.embedded_BCD.shape[1], second.embedded_BCD.shape[1]
    padded = first.bias_BC is not None or second.bias_BC is not None or len(set(empty)) > 1
    layers = [
        (rows(k1, k2), rows(v1, v2))
        for (k1, v1), (k2, v2) in zip(first.layers, second.layers, strict=True)
    ]
    return Prefix(
        layers,
        rows(first.embedded_BCD, second.embedded_BCD),
        rows(first.table, second.table, dim=2),
        both,
        rows(bias(first), bias(second), value=-torch.inf) if padded else None,
        first.weighted or second.weighted,
    )


class Run(NamedTuple):
    """Consecutive prefix rows of one length: first row, one behind the last, tokens."""

    start: int
    stop: int
    length: int


@dataclass(frozen=True)
class Layout:
    """What a pass attends to, the same for all of its blocks.

    `inside` control tokens are part of the pass itself (full attention), the others are a prefix
    whose rows come in `runs`, each for `copies` targets. `bias_BC` is that of the controls for
    those who look at them, or (rows, 1, C, C) where controls look at themselves. With `scores`
    the first token is [REL] and the last one [FDL]. In a `causal` pass a cell sees all controls and
    the cells up to itself.
    """

    scores: bool = False
    inside: int = 0
    runs: tuple[Run, ...] = ()
    copies: int = 1
    bias_BC: Tensor | None = None
    causal: bool = False

    def pieces(
        self, q: Tensor, k: Tensor, v: Tensor, past: KeysValues | None, only_scores: bool
    ) -> list[Piece]:
        """Queries (B, S, N, D) with the keys that they see: [REL], the middle, [FDL], a run."""
        if past is None:
            return self.split(q, k, v, self.inside, self.bias_BC, only_scores)
        pieces: list[Piece] = []
        for start, stop, length in self.runs:
            rows = slice(start * self.copies, stop * self.copies)
            bias = None if self.bias_BC is None else self.bias_BC[start:stop, :length]
            if bias is not None and self.copies > 1:
                bias = bias.repeat_interleave(self.copies, dim=0)
            keys = self.behind(past[0][start:stop, :length], k[rows])
            values = self.behind(past[1][start:stop, :length], v[rows])
            pieces += self.split(q[rows], keys, values, length, bias, only_scores)
        return pieces

    def behind(self, past: Tensor, own: Tensor) -> Tensor:
        """A prefix and own keys as one sequence; [REL] stays in front. One copy, no repeats."""
        if not past.shape[1]:
            return own
        if self.copies > 1:
            own = own.view(-1, self.copies, *own.shape[1:])
            past = past[:, None].expand(-1, self.copies, -1, -1, -1)
        axis = own.ndim - 3
        if self.scores:
            rel, own = own.split([1, own.shape[axis] - 1], dim=axis)
            joined = torch.cat([rel, past, own], dim=axis)
        else:
            joined = torch.cat([past, own], dim=axis)
        return joined.flatten(0, 1) if self.copies > 1 else joined

    def split(
        self, q: Tensor, k: Tensor, v: Tensor, controls: int, bias: Tensor | None, only: bool
    ) -> list[Piece]:
        """One run's queries by what they see: `[REL] | controls | target | [FDL]` lie in a row."""
        if bias is not None and bias.ndim == 2:
            bias = F.pad(bias, (0, k.shape[1] - bias.shape[1] - 2 * self.scores))[:, None, None]
        if not self.scores:
            return [Piece(q, k, v, bias, self.causal)]
        of_rel = None if bias is None else F.pad(bias, (1, 0))
        rel = Piece(q[:, :1], k[:, :-1], v[:, :-1], of_rel)
        middle = Piece(q[:, 1:-1], k[:, 1:-1], v[:, 1:-1], bias)
        fdl = Piece(q[:, -1:], k[:, 1 + controls :], v[:, 1 + controls :])
        return [rel, fdl] if only else [rel, middle, fdl]

    def present(self, tokens: int) -> Tensor | None:
        """Which of a pass's own tokens are there, (B, S), and no padding; None where all are."""
        bias = self.bias_BC
        if bias is None or (bias.ndim == 2 and not self.inside):
            return None
        if bias.ndim == 4:  # controls among themselves: the first one sees all that are there
            return ~bias[:, 0, 0].isneginf()
        behind = tokens - self.inside - self.scores
        return F.pad(~bias.isneginf(), (int(self.scores), behind), value=True)

    def assemble(self, mixed: list[Tensor], only_scores: bool) -> Tensor:
        """What `pieces` took apart, put together again: (B, S, N, D)."""
        each = (2 if only_scores else 3) if self.scores else 1
        runs = [
            mixed[at] if each == 1 else torch.cat(mixed[at : at + each], dim=1)
            for at in range(0, len(mixed), each)
        ]
        return runs[0] if len(runs) == 1 else torch.cat(runs)


def see_itself(bias_BC: Tensor) -> Tensor:
    """Bias of controls that see controls, (B, 1, C, C); padding sees itself, so no row is empty."""
    own = torch.eye(bias_BC.shape[1], dtype=torch.bool, device=bias_BC.device)
    bias = bias_BC[:, None, None, :]
    return torch.where(own & bias.isneginf(), 0.0, bias)


def along(prefix: Prefix, x_BSD: Tensor, table: Tensor, scores: bool) -> tuple[Tensor, Tensor]:
    """Controls and target as one sequence with one rotary table (the paper's attention)."""
    own = table[:, None].expand(-1, x_BSD.shape[0], -1, -1, -1, -1)
    if not scores:
        x = torch.cat([prefix.embedded_BCD, x_BSD], dim=1)
        return x, torch.cat([prefix.table, own], dim=2)
    x = torch.cat([x_BSD[:, :1], prefix.embedded_BCD, x_BSD[:, 1:]], dim=1)
    return x, torch.cat([own[:, :, :1], prefix.table, own[:, :, 1:]], dim=2)


def prefix_layout(prefix: Prefix, scores: bool, cells: int, training: bool) -> Layout:
    """How targets attend to a prefix: by runs of equal length where padding would cost more."""
    lengths, most = prefix.lengths, prefix.embedded_BCD.shape[1]
    wasted = len(lengths) * most - sum(lengths)
    if training or wasted <= PADDING * len(lengths) * (most + cells):
        whole = (Run(0, len(lengths), most),)
        return Layout(scores, 0, whole, prefix.copies, prefix.bias_BC)
    starts = [row for row in range(len(lengths)) if not row or lengths[row] != lengths[row - 1]]
    runs = tuple(
        Run(start, stop, lengths[start])
        for start, stop in zip(starts, [*starts[1:], len(lengths)], strict=True)
    )
    return Layout(scores, 0, runs, prefix.copies, prefix.bias_BC if prefix.weighted else None)
