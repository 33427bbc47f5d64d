"""Were kept pixels kept, and does one see where the new begins?"""

from __future__ import annotations

import torch
from torch import Tensor


def exact_rate(result_CHW: Tensor, base_CHW: Tensor, kept_HW: Tensor) -> float:
    """Share of kept pixels whose three channels came back exactly, 0..1; 1 where none is kept.

    Both pictures are uint8.
    """
    if not bool(kept_HW.any()):
        return 1.0
    return float((result_CHW == base_CHW).all(0)[kept_HW].float().mean())


def seam_ratio(picture_CHW: Tensor, kept_T: Tensor) -> float | None:
    """Mean step of brightness across kept-to-new borders, over that at other block borders.

    Steps are absolute differences of neighbouring pixels, meaned over channels. The others are all
    block borders with the same on both sides, so the tokenizer's own block structure cancels. 1 is
    no seam, 2 a step twice as large; None where there is no border of one kind.

    Args:
        picture_CHW: pixels in any unit.
        kept_T: kept blocks of a square grid, row-major.
    """
    side = round(len(kept_T) ** 0.5)
    cell = picture_CHW.shape[-1] // side
    kept = kept_T.view(side, side)
    across: list[Tensor] = []
    within: list[Tensor] = []
    for dim in (0, 1):
        pixels = picture_CHW.float().transpose(1, 2) if dim else picture_CHW.float()
        grid = kept.T if dim else kept
        last = torch.arange(1, side) * cell  # the first row of pixels of each block but the first
        steps = (pixels[:, last] - pixels[:, last - 1]).abs().mean(0)  # (side - 1, W)
        steps = steps.view(side - 1, side, cell).mean(-1)
        seam = grid[1:] != grid[:-1]
        across.append(steps[seam])
        within.append(steps[~seam])
    seams, others = torch.cat(across), torch.cat(within)
    if not len(seams) or not len(others) or float(others.mean()) == 0:
        return None
    return float(seams.mean() / others.mean())
