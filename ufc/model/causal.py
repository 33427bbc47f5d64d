"""Keys and values of controls and of the cells so far, for generating cell by cell.

Room for the whole grid is taken at once and written in place, so that a step copies nothing but
what is its own. Rows whose controls are shorter are padded: of a single query a few more keys cost
next to nothing.

Shapes: B targets, C control tokens, T cells, N heads, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from ufc.model.attention import Piece
from ufc.model.blocks.compiled_block import CompiledBlock
from ufc.model.blocks.fused_block import Lean
from ufc.model.prefix_cache import KeysValues, Layout, Prefix


@dataclass(frozen=True)
class CachedLayout(Layout):
    """Own keys and values go behind the `filled` tokens of a cache, and all of it is seen."""

    filled: int = 0

    def pieces(
        self, q: Tensor, k: Tensor, v: Tensor, past: KeysValues | None, only_scores: bool
    ) -> list[Piece]:
        assert past is not None and not only_scores
        stop = self.filled + k.shape[1]
        for kept, own in zip(past, (k, v), strict=True):
            kept[:, self.filled : stop] = own
        bias = self.bias_BC
        if bias is not None:
            bias = F.pad(bias, (0, stop - bias.shape[1]))[:, None, None]
        return [Piece(q, past[0][:, :stop], past[1][:, :stop], bias, causal=True)]


@dataclass
class CausalCache:
    """`layers` have room for C + T tokens; the controls and the first `cells` cells are there."""

    layers: list[KeysValues]
    controls: int
    bias_BC: Tensor | None
    lean: Sequence[Lean | CompiledBlock | None]
    cells: int = 0

    @classmethod
    def of(
        cls, prefix: Prefix, cells: int, lean: Sequence[Lean | CompiledBlock | None]
    ) -> CausalCache:
        """With the controls in it, each row as often as the prefix serves targets."""
        copies, controls = prefix.copies, prefix.embedded_BCD.shape[1]

        def room(kept_BCND: Tensor) -> Tensor:
            rows, _, heads, width = kept_BCND.shape
            taken = kept_BCND.new_empty(rows * copies, controls + cells, heads, width)
            taken[:, :controls] = kept_BCND.repeat_interleave(copies, dim=0)
            return taken

        bias_BC = prefix.bias_BC
        return cls(
            [(room(k), room(v)) for k, v in prefix.layers],
            controls,
            None if bias_BC is None else bias_BC.repeat_interleave(copies, dim=0),
            lean,
        )

    def extended(self, cells: int) -> CachedLayout:
        """How a pass over the next cells attends; they count as seen from now on."""
        layout = CachedLayout(causal=True, bias_BC=self.bias_BC, filled=self.controls + self.cells)
        self.cells += cells
        return layout
