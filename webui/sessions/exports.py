"""What leaves the studio: contact sheets and archives."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from ufc.io.contact_sheet import contact_sheet
from ufc.io.png.metadata import read_metadata
from ufc.request import Request, Result
from ufc_base.computing.thread_pool import temporary_thread_pool
from ufc_base.images import to_pil, to_tensor
from ufc_base.profiles import to_srgb
from webui.sessions.generating.film import png_bytes
from webui.sessions.state import (
    Picture,
)

if TYPE_CHECKING:
    from webui.sessions.studio import Studio


def sheet(studio: Studio, key: str, pictures: Sequence[Picture]) -> bytes:
    """One PNG with all pictures on it."""
    images = [studio.store.open_picture(key, picture.file) for picture in pictures]
    return png_bytes(contact_sheet(images))


def archive(studio: Studio, key: str, pictures: Sequence[Picture]) -> bytes:
    """A zip of pictures, of the files they were made from, and a manifest that
    `ufc generate --prompts-file` generates again."""
    stream = io.BytesIO()
    lines, files = [], {picture.best for picture in pictures}
    there = partial(studio.store.has_file, key)
    session = studio.store.load(key)
    for picture in pictures:
        named = Request.from_json(picture.request).conditioning.pictures
        made_of = {name for names in named.values() for name in names}
        if picture.kind == "drawn" and all(map(there, made_of)):
            lines.append(manifest_line(studio, key, picture))
            files |= made_of
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            archive.writestr(name, studio.store.read(key, name))
        archive.writestr("manifest.jsonl", "".join(line + "\n" for line in lines))
        archive.writestr("contact-sheet.png", sheet(studio, key, pictures or session.shown))
    return stream.getvalue()


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
