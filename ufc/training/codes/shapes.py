"""Other shapes than the trained one: in a share of the steps, squares and pictures that lie down.

No picture is encoded again: of its code grid some rows or columns are left out, at random places,
and where a shape has more of them than it, the codes of a white picture are laid beside, which is
what product photographs have there.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from ufc.conditioning.frame import Frames
from vqgan.model import VQGAN


@dataclass(frozen=True)
class OtherShapes:
    """Which steps have another shape, and which: the same for all processes.

    Attributes:
        share: of the steps, 0..1.
        seed: of the run.
        own: the trained (rows, columns).
        grids: the others.
        white_T: codes of a white picture of the trained size, row by row.
    """

    share: float
    seed: int
    own: tuple[int, int]
    grids: tuple[tuple[int, int], ...]
    white_T: Tensor

    def __call__(self, step: int) -> tuple[int, int]:
        """The (rows, columns) of a step."""
        rng = random.Random(f"{self.seed}/{step}/shape")
        return rng.choice(self.grids) if rng.random() < self.share else self.own

    def lay(self, codes_T: Tensor, grid: tuple[int, int], rng: random.Random) -> Tensor:
        """A picture's codes on another grid, row by row."""
        given_HW, white_HW = codes_T.view(self.own), self.white_T.view(self.own)
        middle = white_HW[self.own[0] // 2, self.own[1] // 2]
        out_HW = torch.full(grid, int(middle), dtype=codes_T.dtype)
        spans = [span(own, new, rng) for own, new in zip(self.own, grid, strict=True)]
        (rows, new_rows), (columns, new_columns) = spans
        out_HW[new_rows, new_columns] = given_HW[rows, columns]
        return out_HW.flatten()


def span(own: int, new: int, rng: random.Random) -> tuple[slice, slice]:
    """Which of a side's own cells are taken, and where they lie on a side of `new` cells."""
    start, length = rng.randint(0, abs(own - new)), min(own, new)
    moved, fixed = slice(start, start + length), slice(0, length)
    return (moved, fixed) if own > new else (fixed, moved)


@torch.no_grad()
def other_shapes(share: float, seed: int, tokenizer: VQGAN) -> OtherShapes | None:
    """The square and the lying shape of about the trained area; None for no share of the steps."""
    if not share:
        return None
    own = tokenizer.config.grid_size
    frames = Frames(own, tokenizer.config.downsampling)
    grids = {frames.nearest((1, 1)), (own[1], own[0])} - {own}
    height, width = tokenizer.config.size
    device = next(tokenizer.parameters()).device
    white = tokenizer.encode(torch.ones(1, 3, height, width, device=device)).flatten().cpu()
    return OtherShapes(share, seed, own, tuple(sorted(grids)), white) if grids else None
