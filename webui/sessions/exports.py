"""What leaves the studio: contact sheets and archives."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from ufc.io.contact_sheet import pasted, size_of
from ufc.io.png.metadata import read_metadata
from ufc.request import Request, Result
from ufc_base.computing.thread_pool import temporary_thread_pool
from ufc_base.images import load_original, to_pil, to_tensor
from ufc_base.profiles import to_srgb
from webui.sessions.generating.film import png_bytes
from webui.sessions.state import Picture, RefusedError

if TYPE_CHECKING:
    from webui.sessions.studio import Studio

# Of the files in one archive: it is held in memory, here and by Streamlit, until it is fetched.
MOST_BYTES = 512 * 1024 * 1024
_ONE_AT_A_TIME = threading.Lock()  # archives that are made


def sheet(studio: Studio, key: str, pictures: Sequence[Picture]) -> bytes:
    """One PNG with all pictures on it, of which one is open at a time."""
    paths = [studio.store.path(key, picture.file) for picture in pictures]
    if not paths:
        raise RefusedError("no_picture")
    return png_bytes(pasted([size_of(path) for path in paths], map(opened, paths)))


def opened(path: Path) -> Image.Image:
    """A picture in its own colours."""
    return load_original(path.read_bytes())


def archive(studio: Studio, key: str, pictures: Sequence[Picture]) -> bytes:
    """A zip of those of the pictures `that_fit`, of the files they were made from, and a manifest
    that `ufc generate --prompts-file` generates again. Whoever asks for another meanwhile waits."""
    with _ONE_AT_A_TIME:
        return _archive(studio, key, pictures)


def _archive(studio: Studio, key: str, pictures: Sequence[Picture]) -> bytes:
    stream = io.BytesIO()
    lines, files = [], set[str]()
    pictures = that_fit(studio, key, pictures)
    for picture in pictures:
        files |= files_of(studio, key, picture)
        if can_be_made_again(studio, key, picture):
            lines.append(manifest_line(studio, key, picture))
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive:
        for name in sorted(files):
            archive.write(studio.store.path(key, name), name)
        archive.writestr("manifest.jsonl", "".join(line + "\n" for line in lines))
        if pictures:
            archive.writestr("contact-sheet.png", sheet(studio, key, pictures))
    return stream.getvalue()


def that_fit(studio: Studio, key: str, pictures: Sequence[Picture]) -> tuple[Picture, ...]:
    """Those of the pictures that an archive has room for with the files they were made from, in
    their order: the latest come first, and one that is too large makes room for those before.

    On the contact sheet each is counted as about the size of its file.
    """
    sizes = studio.store.sizes(key)
    if 2 * sum(sizes.values()) <= MOST_BYTES:  # as nearly always, and nothing is to be counted
        return tuple(pictures)
    taken, found, left = set[str](), set[str](), MOST_BYTES
    for picture in sorted(pictures, key=lambda one: -int(one.id)):
        more = files_of(studio, key, picture) - taken
        size = sum(sizes.get(name, 0) for name in (*more, picture.file))
        if size <= left:
            taken, left = taken | more, left - size
            found.add(picture.id)
    return tuple(picture for picture in pictures if picture.id in found)


def files_of(studio: Studio, key: str, picture: Picture) -> set[str]:
    """A picture's file, and those it was made from where it can be made again."""
    own = {picture.best}
    return own | (made_of(picture) or set()) if can_be_made_again(studio, key, picture) else own


def can_be_made_again(studio: Studio, key: str, picture: Picture) -> bool:
    """Whether a picture was generated from files that are all there."""
    files = made_of(picture) if picture.kind == "drawn" else None
    return files is not None and all(studio.store.has_file(key, name) for name in files)


def made_of(picture: Picture) -> set[str] | None:
    """The files that a picture's request names; None where the request cannot be read."""
    try:
        named = Request.from_json(picture.request).conditioning.pictures
    except (ValueError, TypeError, AttributeError):
        return None  # damaged: anybody may write the file
    return {name for names in named.values() for name in names}


@temporary_thread_pool()
def enlarged(studio: Studio, key: str, picture: Picture) -> bytes:
    """A picture of the model's size at twice the size, by the model's upscaler, as a PNG.

    Raises:
        RequestError: the model has none.
    """
    image = studio.store.open_picture(key, picture.file)
    larger = to_pil(studio.loaded.pipe.enlarge(to_tensor(to_srgb(image))))
    return png_bytes(larger[0])


def can_be_enlarged(studio: Studio, picture: Picture) -> bool:
    """Whether `enlarged` has something to do: a photograph has its size, others may have it."""
    if studio.loaded.pipe.upscaler is None or picture.full:
        return False
    return int(picture.request.get("upscale") or 1) == 1


def manifest_line(studio: Studio, key: str, picture: Picture) -> str:
    # Another model or precision may have generated it, before this server was started.
    by = read_metadata(studio.store.path(key, picture.best)).request or {}
    result = Result(
        f"again-{picture.id}.png",
        "done",
        seed=picture.seed,
        compliance=picture.compliance,
        fidelity=picture.fidelity,
        steps=picture.steps,
        model=studio.loaded.name,
        backend=by.get("backend", studio.loaded.backend),
        versions=by.get("versions", studio.loaded.versions),
    )
    return json.dumps({**picture.request, **result.to_json()}, ensure_ascii=False)
