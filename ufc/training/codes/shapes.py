"""Other shapes than the trained one: in a share of the steps, squares and pictures that lie down.

No picture is encoded again: of its code grid some rows or columns are left out, at random places,
and where a shape has more of them than it, the code of a white block is laid beside, which is what
product photographs have there.
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
        white: the code of a white block.
    """

    share: float
    seed: int
    own: tuple[int, int]
    grids: tuple[tuple[int, int], ...]
    white: int

    def __call__(self, step: int) -> tuple[int, int]:
        """The (rows, columns) of a step."""
        rng = random.Random(f"{self.seed}/{step}/shape")
        return rng.choice(self.grids) if rng.random() < self.share else self.own

    def lay(self, codes_T: Tensor, grid: tuple[int, int], rng: random.Random) -> Tensor:
        """A picture's codes on another grid, row by row."""
        given_HW = codes_T.view(self.own)
        out_HW = torch.full(grid, self.white, dtype=codes_T.dtype)
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
    """Square, upright (3 : 4) and lying shapes of about the trained area, but for the trained one;
    None for no share of the steps."""
    if not share:
        return None
    own = tokenizer.config.grid_size
    frames = Frames(own, tokenizer.config.downsampling)
    square = own[0] == own[1]
    upright = frames.nearest((3, 4)) if square else own
    grids = {frames.nearest((1, 1)), upright, (upright[1], upright[0])} - {own}
    height, width = tokenizer.config.size
    device = next(tokenizer.parameters()).device
    white_HW = tokenizer.encode(torch.ones(1, 3, height, width, device=device))[0]
    white = int(white_HW[own[0] // 2, own[1] // 2])
    return OtherShapes(share, seed, own, tuple(sorted(grids)), white)
