"""Outpainting: a picture made larger by rows and columns of blocks, which are then generated."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image


def extended_size(
    size: tuple[int, int], added: Sequence[int], grid: tuple[int, int]
) -> tuple[int, int]:
    """(width, height) of a picture of `size` with blocks `added` on its sides, see `extend`."""
    top, right, bottom, left = margins(size, added, grid)
    return size[0] + left + right, size[1] + top + bottom


def margins(
    size: tuple[int, int], added: Sequence[int], grid: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Pixels added at top, right, bottom and left."""
    (width, height), (rows, columns) = size, grid
    down, across = height / rows, width / columns
    top, right, bottom, left = added
    return round(top * down), round(right * across), round(bottom * down), round(left * across)


def extend(
    image: Image.Image, added: Sequence[int], grid: tuple[int, int]
) -> tuple[Image.Image, Image.Image]:
    """A picture on a larger white canvas, and the mask of what is new.

    Args:
        image: RGB; its colour profile stays with it.
        added: blocks at top, right, bottom and left.
        grid: (rows, columns) of the picture's own blocks, which say how large one is.
    """
    top, _, _, left = margins(image.size, added, grid)
    size = extended_size(image.size, added, grid)
    larger = Image.new("RGB", size, "white")
    larger.paste(image, (left, top))
    larger.info = dict(image.info)
    mask = Image.new("L", size, 255)
    mask.paste(0, (left, top, left + image.width, top + image.height))
    return larger, mask
