"""Sets of blocks: what a drag, a mask image or typed ranges say, and what can be done with them.

Blocks are the cells of a `grid`, (rows, columns) or the side of a square, counted row by row from 0
at the top left; a set of them is a sorted tuple. In a mask image white is regenerated and black is
kept.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from PIL import Image

from ufc.conditioning.frame import Grid, cells, sides
from ufc.request import format_blocks, parse_blocks
from ufc_base.images import fit_mask
from ufc_base.profiles import PROFILE, in_profile, sound_profile

__all__ = [
    "border",
    "clean",
    "format_blocks",
    "from_mask",
    "grow",
    "invert",
    "mix",
    "parse_blocks",
    "seam",
    "to_mask",
]

Blocks = tuple[int, ...]


def clean(value: object, grid: Grid) -> Blocks:
    """Blocks from what a browser sent: numbers of this grid, sorted; the rest is dropped."""
    if not isinstance(value, list | tuple):
        return ()
    numbers = {item for item in value if isinstance(item, int) and not isinstance(item, bool)}
    return tuple(sorted(number for number in numbers if 0 <= number < cells(grid)))


def invert(blocks: Iterable[int], grid: Grid) -> Blocks:
    """All other blocks."""
    given = set(blocks)
    return tuple(block for block in range(cells(grid)) if block not in given)


def grow(blocks: Iterable[int], grid: Grid) -> Blocks:
    """The blocks and the ring of blocks around them, corners too."""
    (rows, columns), board = sides(grid), np.pad(_board(blocks, grid), 1)
    grown = np.zeros((rows, columns), dtype=bool)
    for row in range(3):
        for column in range(3):
            grown |= board[row : row + rows, column : column + columns]
    return _numbers(grown)


def border(blocks: Iterable[int], grid: Grid) -> Blocks:
    """Blocks outside that touch the given ones, by a side or a corner."""
    given = set(blocks)
    return tuple(block for block in grow(given, grid) if block not in given)


def seam(blocks: Iterable[int], grid: Grid) -> Blocks:
    """What to regenerate where two pictures were joined: the blocks along the line on one side of
    it, on the one that loses the smaller share of itself by that."""
    given = set(blocks)
    rest = set(invert(given, grid))
    sides = [(border(rest, grid), given), (border(given, grid), rest)]
    return min(sides, key=lambda side: len(side[0]) / max(1, len(side[1])))[0]


def to_mask(blocks: Iterable[int], grid: Grid, resolution: Grid) -> Image.Image:
    """A mask of (height, width) or a side in pixels, white where a block is to be regenerated."""
    small = Image.fromarray(_board(blocks, grid).astype(np.uint8) * 255)
    return small.resize(sides(resolution)[::-1], Image.Resampling.NEAREST)


def from_mask(mask: Image.Image, grid: Grid, resolution: Grid, stretch: float = 0.0) -> Blocks:
    """Blocks with any white pixel, after the mask (`L`, 0 and 255) is laid into the picture."""
    pixels = np.asarray(fit_mask(mask, resolution, stretch)) > 0
    rows, columns = sides(grid)
    height, width = pixels.shape
    split = pixels.reshape(rows, height // rows, columns, width // columns)
    return _numbers(np.any(split, axis=(1, 3)))


def mix(one: Image.Image, other: Image.Image, blocks: Iterable[int], grid: Grid) -> Image.Image:
    """The first picture in its own colours and size, with the given blocks from the second."""
    if other.size != one.size:  # one of them has been enlarged
        other = other.resize(one.size, Image.Resampling.LANCZOS)
    profile = sound_profile(one)
    mixed = Image.composite(in_profile(other, profile), one, to_mask(blocks, grid, one.size[::-1]))
    mixed.info = {} if profile is None else {PROFILE: profile}
    return mixed


def _board(blocks: Iterable[int], grid: Grid) -> np.ndarray:
    board = np.zeros(cells(grid), dtype=bool)
    board[list(blocks)] = True
    return board.reshape(sides(grid))


def _numbers(board: np.ndarray) -> Blocks:
    return tuple(np.flatnonzero(board).tolist())
