"""Does an edit show? The step across the border of what changed, against steps near it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Board = NDArray[np.bool_]


def seam(edited: Image.Image, changed: Image.Image, reach: int = 8) -> float:
    """Mean difference of neighbours on either side of the border, over that of neighbours near it
    that the border does not part: 1 is a seam that cannot be told from the picture, 2 one that is
    twice as steep.

    Args:
        edited: the result.
        changed: mask of its size, L: white where it was regenerated.
        reach: pixels from the border that count as near.

    Raises:
        ValueError: sizes differ, or there is no border.
    """
    if edited.size != changed.size:
        raise ValueError(f"the picture is {edited.size}, the mask {changed.size}: wanted one size")
    pixels = np.asarray(edited.convert("RGB"), np.float32)
    new = np.asarray(changed.convert("L")) > 0
    across, near = [], []
    for axis in (0, 1):
        steps = np.abs(np.diff(pixels, axis=axis)).mean(-1)
        parted = np.diff(new, axis=axis)
        across.append(steps[parted])
        near.append(steps[grown(parted, reach) & ~parted])
    border, own = np.concatenate(across), np.concatenate(near)
    if not border.size:
        raise ValueError("nothing or everything is regenerated: there is no border to look at")
    return float((border.mean() + 1e-3) / (own.mean() + 1e-3))


def grown(board: Board, reach: int) -> Board:
    """All places within `reach` of a true one, along rows and columns."""
    wide = board.copy()
    for _ in range(reach):
        wide[1:] |= wide[:-1].copy()
        wide[:-1] |= wide[1:].copy()
        wide[:, 1:] |= wide[:, :-1].copy()
        wide[:, :-1] |= wide[:, 1:].copy()
    return wide
