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


def seam_ratio(picture_CHW: Tensor, known_HW: Tensor) -> float | None:
    """Mean step of brightness across known-to-new borders, over that at other block borders.

    Steps are absolute differences of neighbouring pixels, meaned over channels. The others are all
    block borders with the same on both sides, so the tokenizer's own block structure cancels. 1 is
    no seam, 2 a step twice as large; None where there is no border of one kind.

    Args:
        picture_CHW: pixels in any unit.
        known_HW: which blocks of the grid (rows, columns) were kept, bool.
    """
    across: list[Tensor] = []
    within: list[Tensor] = []
    for dim in (0, 1):
        pixels = picture_CHW.float().transpose(1, 2) if dim else picture_CHW.float()
        grid = known_HW.T if dim else known_HW
        rows, columns = grid.shape
        height, width = pixels.shape[1] // rows, pixels.shape[2] // columns
        first = torch.arange(1, rows) * height  # the first pixels of each block but the top one
        steps = (pixels[:, first] - pixels[:, first - 1]).abs().mean(0)  # (rows - 1, W)
        steps = steps.view(rows - 1, columns, width).mean(-1)
        seam = grid[1:] != grid[:-1]
        across.append(steps[seam])
        within.append(steps[~seam])
    seams, others = torch.cat(across), torch.cat(within)
    if not len(seams) or not len(others) or float(others.mean()) == 0:
        return None
    return float(seams.mean() / others.mean())
