"""One sheet of all pictures of an output folder."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from ufc_base.files import write_atomically
from ufc_base.profiles import to_srgb
from ufc_base.reading import load_image

GRID = "grid.png"
_OURS = "PNG", "JPEG", "WEBP"  # formats that pictures are written in
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
    return pasted([picture.size for picture in pictures], pictures, columns)


def pasted(
    sizes: Sequence[tuple[int, int]],
    pictures: Iterable[Image.Image],
    columns: int | None = None,
) -> Image.Image:
    """`contact_sheet` of pictures of these sizes, which are taken one at a time."""
    columns = min(columns or math.ceil(math.sqrt(len(sizes))), len(sizes))
    rows = math.ceil(len(sizes) / columns)
    limit = max(1, _MAX_SIDE // max(columns, rows) - _GAP)
    width = min(limit, max(width for width, _ in sizes))
    height = min(limit, max(height for _, height in sizes))
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
    paths = [folder / name for name in file_names if (folder / name).is_file()]
    if not paths:
        return None
    # A run may have more pictures than memory has room for: one is opened at a time.
    sheet = pasted([size_of(path) for path in paths], map(load_image, paths))
    write_atomically(folder / GRID, lambda file: sheet.save(file, "PNG"))
    return folder / GRID


def size_of(path: Path) -> tuple[int, int]:
    """Width and height as the head of a file says them, whose pixels are not decoded.

    Raises:
        ImageError: it cannot be read.
    """
    try:
        with Image.open(path, formats=_OURS) as image:
            return image.size
    except Exception:  # decoders raise anything; this says what is wrong, or knows better
        return load_image(path).size
