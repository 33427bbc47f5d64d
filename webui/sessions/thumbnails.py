"""Small pictures of large ones, made once."""

from __future__ import annotations

import io
import mimetypes
from functools import lru_cache
from pathlib import Path

from PIL import Image

from ufc_base.images import load_original
from ufc_base.profiles import to_srgb

SIDE = 192  # pixels


def thumbnail(path: Path, side: int = SIDE) -> tuple[str, bytes]:
    """A picture's media type and bytes, no larger than `side`.

    Raises:
        OSError: there is no such file.
        ImageError: it is damaged.
    """
    made = _small if side <= SIDE else _large
    return made(path, path.stat().st_mtime_ns, side)


def _made(path: Path, changed: int, side: int) -> tuple[str, bytes]:
    data = path.read_bytes()
    image = load_original(data)
    if max(image.size) <= side:
        return mimetypes.guess_type(path.name)[0] or "image/png", data
    image = to_srgb(image)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=88)
    return "image/jpeg", stream.getvalue()


_small = lru_cache(maxsize=1024)(_made)
_large = lru_cache(maxsize=4)(_made)  # each may be tens of megabytes
