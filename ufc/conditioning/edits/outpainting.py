"""Outpainting: a picture made larger by rows and columns of blocks, which are then generated."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from ufc.conditioning.frame import Frame
from ufc_base.images import picture_fit


def extended_size(size: tuple[int, int], added: Sequence[int], frame: Frame) -> tuple[int, int]:
    """(width, height) of a picture of `size` with blocks `added` on its sides, see `extend`."""
    top, right, bottom, left = margins(size, added, frame)
    return size[0] + left + right, size[1] + top + bottom


def margins(size: tuple[int, int], added: Sequence[int], frame: Frame) -> tuple[int, int, int, int]:
    """Pixels added at top, right, bottom and left."""
    fit = picture_fit(size, frame.size, frame.stretch)
    across = frame.cell * size[0] / fit.inner_width
    down = frame.cell * size[1] / fit.inner_height
    top, right, bottom, left = added
    return round(top * down), round(right * across), round(bottom * down), round(left * across)


def extend(
    image: Image.Image, added: Sequence[int], frame: Frame
) -> tuple[Image.Image, Image.Image]:
    """A picture on a larger white canvas, and the mask of what is new.

    Args:
        image: RGB; its colour profile stays with it.
        added: blocks at top, right, bottom and left.
        frame: what the picture is fitted into as it is, which says how large a block of it is.
    """
    top, _, _, left = margins(image.size, added, frame)
    size = extended_size(image.size, added, frame)
    larger = Image.new("RGB", size, "white")
    larger.paste(image, (left, top))
    larger.info = dict(image.info)
    mask = Image.new("L", size, 255)
    mask.paste(0, (left, top, left + image.width, top + image.height))
    return larger, mask
