"""Ways to look at an output folder: one sheet of all pictures, and a page with their stories."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

from ufc_base.files import write_atomically
from ufc_base.profiles import to_srgb
from ufc_base.reading import load_image

GRID = "grid.png"
LOG = "log.html"
_GAP = 2  # pixels between the pictures of a sheet
_MAX_SIDE = 8_192  # pixels of a sheet's side

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem; background: #f6f6f4; color: #222 }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem }
figure { margin: 0; padding: .8rem; background: #fff; border-radius: .5rem }
img { width: 100%; image-rendering: pixelated; background: #eee }
dl { display: grid; grid-template-columns: auto 1fr; gap: 0 .6rem; margin: .5rem 0 0; color: #666 }
dd { margin: 0; overflow-wrap: anywhere }
p { margin: .5rem 0 0 }
.failed { outline: 2px solid #c33 }
"""
_SHOWN = (
    "negative_prompt",
    "seed",
    "num_inference_steps",
    "guidance_scale",
    "order",
    "num_candidates",
    "best_of",
    "compliance",
    "fidelity",
    "seconds",
    "model",
    "error",
)


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


def log_page(rows: Iterable[Mapping[str, Any]]) -> str:
    """A page without scripts that shows every picture of a manifest with its request."""
    figures = "\n".join(_figure(row) for row in rows)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Pictures</title>'
        f"<style>{_STYLE}</style></head>\n<body><main>\n{figures}\n</main></body></html>\n"
    )


def write_log(folder: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write `log.html` for the rows of the folder's manifest."""
    page = log_page(rows).encode(errors="replace")  # of a path that is not UTF-8, say
    write_atomically(folder / LOG, lambda file: file.write(page))
    return folder / LOG


def _figure(row: Mapping[str, Any]) -> str:
    name, status = str(row["file_name"]), str(row.get("status", ""))
    prompt = html.escape(str(row.get("prompt") or ""))
    picture = html.escape(status)
    if status == "done":
        picture = f'<img src="{html.escape(quote(name))}" alt="{prompt}" loading="lazy">'
    facts = {"file": name, **{key: row[key] for key in _SHOWN if row.get(key) is not None}}
    if row.get("reference_images"):
        facts["references"] = len(row["reference_images"])
    terms = "".join(
        f"<dt>{html.escape(key.replace('_', ' '))}</dt><dd>{html.escape(_text(value))}</dd>"
        for key, value in facts.items()
    )
    return (
        f'<figure class="{html.escape(status)}">{picture}<p>{prompt}</p><dl>{terms}</dl></figure>'
    )


def _text(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
