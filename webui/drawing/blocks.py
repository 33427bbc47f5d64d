"""Sets of blocks: what a drag, a mask image or typed ranges say, and what can be done with them.

Blocks are the cells of a `grid` x `grid` board, counted row by row from 0 at the top left; a set
of them is a sorted tuple. In a mask image white is drawn anew and black is kept.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from PIL import Image

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


def clean(value: object, grid: int) -> Blocks:
    """Blocks from what a browser sent: numbers of this grid, sorted; the rest is dropped."""
    if not isinstance(value, list | tuple):
        return ()
    numbers = {item for item in value if isinstance(item, int) and not isinstance(item, bool)}
    return tuple(sorted(number for number in numbers if 0 <= number < grid * grid))


def invert(blocks: Iterable[int], grid: int) -> Blocks:
    """All other blocks."""
    given = set(blocks)
    return tuple(block for block in range(grid * grid) if block not in given)


def grow(blocks: Iterable[int], grid: int) -> Blocks:
    """The blocks and the ring of blocks around them, corners too."""
    board = np.pad(_board(blocks, grid), 1)
    grown = np.zeros((grid, grid), dtype=bool)
    for row in range(3):
        for column in range(3):
            grown |= board[row : row + grid, column : column + grid]
    return _numbers(grown)


def border(blocks: Iterable[int], grid: int) -> Blocks:
    """Blocks outside that touch the given ones, by a side or a corner."""
    given = set(blocks)
    return tuple(block for block in grow(given, grid) if block not in given)


def seam(blocks: Iterable[int], grid: int) -> Blocks:
    """Both sides of the line around blocks: what to draw anew where two pictures were joined."""
    given = tuple(sorted(set(blocks)))
    outside = border(given, grid)
    inside = [block for block in border(invert(given, grid), grid) if block in given]
    return tuple(sorted({*outside, *inside}))


def to_mask(blocks: Iterable[int], grid: int, resolution: int) -> Image.Image:
    """A mask of `resolution` pixels a side, white where a block is to be drawn anew."""
    small = Image.fromarray(_board(blocks, grid).astype(np.uint8) * 255)
    return small.resize((resolution, resolution), Image.Resampling.NEAREST)


def from_mask(mask: Image.Image, grid: int, resolution: int) -> Blocks:
    """Blocks with any white pixel, after the mask (`L`, 0 and 255) is laid into the square."""
    pixels = np.asarray(fit_mask(mask, resolution)) > 0
    cell = resolution // grid
    return _numbers(np.any(pixels.reshape(grid, cell, grid, cell), axis=(1, 3)))


def mix(one: Image.Image, other: Image.Image, blocks: Iterable[int], grid: int) -> Image.Image:
    """The first picture in its own colours, with the given blocks taken from the second."""
    profile = sound_profile(one)
    mixed = Image.composite(in_profile(other, profile), one, to_mask(blocks, grid, one.width))
    mixed.info = {} if profile is None else {PROFILE: profile}
    return mixed


def _board(blocks: Iterable[int], grid: int) -> np.ndarray:
    board = np.zeros(grid * grid, dtype=bool)
    board[list(blocks)] = True
    return board.reshape(grid, grid)


def _numbers(board: np.ndarray) -> Blocks:
    return tuple(np.flatnonzero(board).tolist())
