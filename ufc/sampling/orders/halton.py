"""Halton-MaskGIT (Besnier et al. 2025): a fixed low-discrepancy sequence of cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ufc.sampling.orders.base import Order, StepView, register_order

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@register_order
class Halton(Order):
    """Cells filled together lie far apart, so they hardly depend on each other."""

    name = "halton"
    summary = "a fixed order in which cells filled together lie far apart"

    def ratio(self, step: int, steps: int) -> float:
        return math.acos(step / steps) / (math.pi / 2)

    def keys(self, view: StepView) -> Tensor:
        return -view.ranks_AT[:, None].float()

    def ranks(
        self, grid: tuple[int, int], generators: Sequence[torch.Generator]
    ) -> list[Tensor] | None:
        """Places in the sequence, rolled for each image by its own draw."""
        import torch

        places = halton_ranks(*grid)
        rolled = []
        for generator in generators:
            shift = [int(torch.randint(0, side, (1,), generator=generator)) for side in grid]
            rolled.append(places.roll(shift, dims=(0, 1)).flatten())
        return rolled


def halton_ranks(height: int, width: int) -> Tensor:
    """Place of each cell in a 2-D Halton sequence (bases 2, 3), (height, width) int64."""
    import torch

    ranks = torch.full((height, width), -1, dtype=torch.int64)
    found, index = 0, 1
    while found < height * width:
        row, col = int(van_der_corput(index, 2) * height), int(van_der_corput(index, 3) * width)
        if ranks[row, col] < 0:
            ranks[row, col] = found
            found += 1
        index += 1
    return ranks


def van_der_corput(index: int, base: int) -> float:
    """Element `index` (from 1) of the sequence in `base`, in [0, 1)."""
    value, share = 0.0, 1.0
    while index:
        share /= base
        index, digit = divmod(index, base)
        value += digit * share
    return value
