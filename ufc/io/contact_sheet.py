"""One sheet of all pictures of an output folder."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from ufc.io.manifest import write_atomically
from ufc_base.profiles import to_srgb
from ufc_base.reading import load_image

GRID = "grid.png"
_GAP = 2  # pixels between the pictures of a sheet
_MAX_SIDE = 8_192  # pixels of a sheet's side


def contact_sheet(pictures: Sequence[Image.Image], columns: int | None = None) -> Image.Image:
    """All pictures side by side on white, row by row; nearly square unless `columns` is given.

    Every cell has the size of the largest picture, and all shrink if the sheet became too large.

    Raises:
        ValueError: there is no picture.
    """
    if not pictures:
        raise ValueError("got no picture, wanted at least one for the sheet")
    columns = min(columns or math.ceil(math.sqrt(len(pictures))), len(pictures))
    rows = math.ceil(len(pictures) / columns)
    limit = max(1, _MAX_SIDE // max(columns, rows) - _GAP)
    width = min(limit, max(picture.width for picture in pictures))
    height = min(limit, max(picture.height for picture in pictures))
    size = columns * (width + _GAP) + _GAP, rows * (height + _GAP) + _GAP
    sheet = Image.new("RGB", size, "white")
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        cell = to_srgb(picture.convert("RGB"))
        cell.thumbnail((width, height))
        sheet.paste(cell, (_GAP + column * (width + _GAP), _GAP + row * (height + _GAP)))
    return sheet


def write_sheet(folder: Path, file_names: Iterable[str]) -> Path | None:
    """Write `grid.png` from the pictures that exist; None where none does."""
    pictures = []
    for name in file_names:
        if (folder / name).is_file():
            pictures.append(load_image(folder / name))
    if not pictures:
        return None
    sheet = contact_sheet(pictures)
    write_atomically(folder / GRID, lambda file: sheet.save(file, "PNG"))
    return folder / GRID
