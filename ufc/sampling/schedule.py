"""How many cells are masked before each step, and fixed orders to reveal them in.

Ratios are shares of the cells that are free to change: kept blocks never count.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def cosine_ratio(done: float) -> float:
    """MaskGIT: cos(pi/2 r) of the free cells are masked when a share r of the steps is done."""
    return math.cos(math.pi / 2 * done)


def linear_ratio(done: float) -> float:
    """Mask-Predict: 1 - r."""
    return 1 - done


def progressive_ratio(done: float, most: float = 0.9, least: float = 0.1) -> float:
    """PNAG: everything in the first step, then from `most` down to `least`, never to zero."""
    return 1.0 if done == 0 else most + (least - most) * done


def arccos_ratio(done: float) -> float:
    """Halton-MaskGIT: arccos(r) / (pi/2)."""
    return math.acos(min(1.0, done)) / (math.pi / 2)


RATIOS = {
    "pnag": progressive_ratio,
    "maskgit": cosine_ratio,
    "mask-predict": linear_ratio,
    "halton": arccos_ratio,
}


def masked_counts(order: str, step: int, steps: int, free_B: Tensor) -> Tensor:
    """Cells to mask before step `step` (0-based) of `steps`: (B,) int64, at least 1 if any is free.

    Step 0 masks every free cell.
    """
    if order == "pnag":
        done = step / max(1, steps - 1)
    else:
        done = step / steps
    counts_B = (RATIOS[order](done) * free_B.double()).floor().long()
    return torch.minimum(counts_B.clamp_min(1), free_B)


def halton_ranks(height: int, width: int) -> Tensor:
    """Place of each cell in a 2-D Halton sequence (bases 2, 3), row-major (height * width,).

    Neighbours in the sequence lie far apart, so cells filled together hardly depend on each other
    (Besnier et al. 2025).
    """
    ranks = torch.full((height * width,), -1, dtype=torch.int64)
    found, index = 0, 1
    while found < height * width:
        row, col = int(halton(index, 2) * height), int(halton(index, 3) * width)
        if ranks[row * width + col] < 0:
            ranks[row * width + col] = found
            found += 1
        index += 1
    return ranks


def halton(index: int, base: int) -> float:
    """Element `index` (from 1) of the van der Corput sequence in `base`, in [0, 1)."""
    value, share = 0.0, 1.0
    while index:
        share /= base
        index, digit = divmod(index, base)
        value += digit * share
    return value
