"""Training masks: which target cells the model has to fill in. True is masked."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Random ratio, everything, inside a box, outside a box (the four strategies of M6-UFC; the odds
# are those of MMVID's `dalle_bert.py`).
STRATEGY_ODDS = (0.7, 0.1, 0.1, 0.1)


def training_masks(
    batch: int,
    grid: tuple[int, int],
    generator: torch.Generator,
    odds: tuple[float, ...] = STRATEGY_ODDS,
) -> Tensor:
    """One mask a sample of a grid of (rows, columns), (B, T) bool, each with a masked cell."""
    weights = torch.tensor(odds)
    strategies = torch.multinomial(weights, batch, replacement=True, generator=generator)
    return torch.stack([make_mask(int(kind), grid, generator) for kind in strategies])


def make_mask(strategy: int, grid: tuple[int, int], generator: torch.Generator) -> Tensor:
    """A mask (T,) by strategy: 0 random ratio, 1 everything, 2 inside a box, 3 outside it."""
    cells = grid[0] * grid[1]
    if strategy == 0:
        return random_ratio_mask(cells, generator)
    if strategy == 1:
        return torch.ones(cells, dtype=torch.bool)
    box = random_box(grid, generator)
    return (box if strategy == 2 else ~box).flatten()


def random_ratio_mask(cells: int, generator: torch.Generator) -> Tensor:
    """Mask a share of cos(pi r / 2), r uniform: high ratios are the common ones (MaskGIT)."""
    share = math.cos(math.pi / 2 * float(torch.rand((), generator=generator)))
    count = max(1, round(share * cells))
    mask = torch.zeros(cells, dtype=torch.bool)
    mask[torch.randperm(cells, generator=generator)[:count]] = True
    return mask


def random_box(grid: tuple[int, int], generator: torch.Generator) -> Tensor:
    """A box of 0.2 to 0.8 of the area and an aspect of 0.5 to 2, (rows, columns) bool.

    The aspect is relative to the grid's own.
    """
    rows, columns = grid
    u = torch.rand(4, generator=generator).tolist()
    area, aspect = 0.2 + 0.6 * u[0], 2 ** (2 * u[1] - 1)
    height = min(rows, max(1, round(rows * math.sqrt(area * aspect))))
    width = min(columns, max(1, round(columns * math.sqrt(area / aspect))))
    top, left = int(u[2] * (rows - height + 1)), int(u[3] * (columns - width + 1))
    box = torch.zeros(rows, columns, dtype=torch.bool)
    box[top : top + height, left : left + width] = True
    if box.all():
        box[-1, -1] = False
    return box
