"""How the part of a photograph that the model works on lies on the canvas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from PIL import Image

from ufc.conditioning.edits.original_size import Photograph
from ufc.conditioning.frame import Frame
from ufc_base.images import PictureFit, picture_fit
from ufc_base.profiles import to_srgb

T = TypeVar("T")
SHOWN_SIDE = 640  # pixels of a preview


@dataclass(frozen=True)
class PartView:
    """A photograph with the part that is generated.

    Attributes:
        photograph: what changes, and the part of it that the model sees.
        canvas: the frame of the whole photograph, whose blocks are marked.
        frame: the frame of the part.
    """

    photograph: Photograph
    canvas: Frame
    frame: Frame

    def on_canvas(self, values: Sequence[T], otherwise: T) -> list[T]:
        """What is known of the blocks of the part, by the blocks of the canvas: each takes what
        is known of the block at its centre, if it has been in the part."""
        return [otherwise if at is None else values[at] for at in self.blocks]

    @cached_property
    def blocks(self) -> list[int | None]:
        """For each block of the canvas the block of the part at its centre."""
        left, upper, right, lower = self.photograph.box
        whole = fit_of(self.photograph.original.size, self.canvas)
        part = fit_of((right - left, lower - upper), self.frame)
        found: list[int | None] = []
        for block in range(self.canvas.cells):
            row, column = divmod(block, self.canvas.grid[1])
            x, y = ((place + 0.5) * self.canvas.cell for place in (column, row))
            x = (x - whole.left) * whole.width / whole.inner_width - left
            y = (y - whole.top) * whole.height / whole.inner_height - upper
            inside = 0 <= x < right - left and 0 <= y < lower - upper
            across = int((part.left + x * part.inner_width / part.width) / self.frame.cell)
            down = int((part.top + y * part.inner_height / part.height) / self.frame.cell)
            found.append(down * self.frame.grid[1] + across if inside else None)
        return found

    def preview(self, made: Image.Image) -> Image.Image:
        """What was made of the part, laid into the photograph, as the canvas shows it."""
        shown, box, mask = self._shown
        inner = fit_of(self.photograph.part.size, self.frame).box
        large = to_srgb(made).crop(inner).resize(mask.size, Image.Resampling.BICUBIC)
        shown = shown.copy()
        shown.paste(large, box, mask)
        return shown

    @cached_property
    def _shown(self) -> tuple[Image.Image, tuple[int, int], Image.Image]:
        """The photograph as it was, where the part lies in it, and what of the part is new."""
        larger = shown_frame(self.canvas, SHOWN_SIDE)
        original = self.photograph.original
        whole = fit_of(original.size, larger)
        left, upper, right, lower = self.photograph.box
        across, down = whole.inner_width / whole.width, whole.inner_height / whole.height
        place = whole.left + round(left * across), whole.top + round(upper * down)
        size = max(1, round((right - left) * across)), max(1, round((lower - upper) * down))
        mask = self.photograph.changed.resize(size, Image.Resampling.NEAREST)
        return to_srgb(larger.fit(original)), place, mask


def fit_of(size: tuple[int, int], frame: Frame) -> PictureFit:
    """How a picture of `size` (width, height) lies in a frame."""
    return picture_fit(size, frame.size, frame.stretch)


def shown_frame(frame: Frame, side: int) -> Frame:
    """A frame of the same blocks, as large as it can be shown on `side` pixels."""
    times = max(1, side // max(frame.size))
    return Frame(frame.grid, frame.cell * times, frame.stretch)


def kept_blocks(changed: Image.Image, canvas: Frame) -> tuple[int, ...]:
    """The blocks of the canvas in which nothing of a photograph's mask is white."""
    board = np.asarray(canvas.fit_mask(changed)) > 0
    cell, (rows, columns) = canvas.cell, canvas.grid
    free = board.reshape(rows, cell, columns, cell).any(axis=(1, 3)).flatten()
    return tuple(int(block) for block in np.flatnonzero(~free))
