"""Pictures that come from elsewhere: uploads, references, masks."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from PIL import Image

from ufc.conditioning.frame import Frame
from ufc.io.embedded_tokens import carried_codes
from ufc.io.png.metadata import read_metadata
from ufc.io.validation import RequestError, shortened
from ufc.request import MAX_SEED, Result
from ufc.requests.replay import differences
from ufc_base.files import write_atomically
from ufc_base.images import load_mask, load_original
from ufc_base.profiles import sound_profile, to_srgb
from webui.drawing import blocks
from webui.drawing.origins import to_stories
from webui.sessions import state
from webui.sessions.generating.film import png_bytes
from webui.sessions.generating.generation import write_png
from webui.sessions.state import (
    LEAST_WEIGHT,
    MOST_WEIGHT,
    Picture,
    ReferenceItem,
    RefusedError,
    Session,
)

if TYPE_CHECKING:
    from webui.sessions.studio import Studio

MOST_LISTED = 64  # references of a request that are looked for
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}
MAX_UPLOAD = 32 * 1024 * 1024  # bytes


def upload(studio: Studio, key: str, data: bytes) -> dict[str, Any] | None:
    """Put a visitor's picture on the canvas; returns the request it was made by, if it says.

    What that regenerated is marked, so that the same request would generate the same blocks.

    Raises:
        RefusedError: too large.
        ImageError: no picture, or damaged.
    """
    image = open_upload(studio, data)
    metadata = None
    try:
        metadata = read_metadata(io.BytesIO(data))
    except RequestError:  # what it says about itself is damaged; its pixels are not
        metadata = None
    codes = carried_codes(studio.loaded.pipe, image, metadata.blocks) if metadata else None
    frame = studio.frames.choose(image.size)
    if codes and metadata and metadata.blocks:
        frame = studio.frames.of(metadata.blocks.grid_size)
    fitted = image if codes else frame.fit(image)
    said = dict(metadata.request or {}) if metadata else {}
    asked = said.get("request")
    request: dict[str, Any] = asked if isinstance(asked, dict) else {}

    (name,) = studio.store.names(key)
    picture = Picture(
        name,
        f"pictures/{name}.png",
        "upload",
        codes=codes,
        grid=frame.grid,
        full=keep_original(studio, key, name, image, data, frame) if codes is None else None,
        size=image.size,
        seed=None,
        compliance=score_of(said.get("compliance")),
        fidelity=score_of(said.get("fidelity")),
    )
    write_png(studio.store, key, picture.file, fitted, metadata if codes else None)
    if codes and metadata and metadata.blocks and metadata.blocks.provenance:
        found, seed = metadata.blocks, request.get("seed")
        known = seed if isinstance(seed, int) and 0 <= seed <= MAX_SEED else None
        confidence = found.confidence or (None,) * len(codes)
        origin = to_stories(found.provenance or (), name, known)
        details = {"confidence": list(confidence), "origin": origin}
        studio.store.write_details(key, name, details)
    kept = blocks.clean(request.get("preserve_blocks"), frame.grid) if codes else ()
    change = blocks.invert(kept, frame.grid) if kept else ()

    def place(session: Session) -> Session:
        session = state.add(session, [picture], marks=())
        return state.marked_to_change(session, change, frame.grid) if change else session

    studio.store.update(key, place)
    return request or None


def keep_original(
    studio: Studio, key: str, name: str, image: Image.Image, data: bytes, frame: Frame
) -> str | None:
    """Keep a photograph as it came, where it is larger than its frame; returns the file's name."""
    height, width = frame.size
    if image.width <= width and image.height <= height:
        return None
    with Image.open(io.BytesIO(data)) as opened:
        suffix = SUFFIXES.get(opened.format or "")
    file = f"originals/{name}{suffix or '.png'}"
    if suffix is None:  # of a kind that not every program reads
        stream = io.BytesIO()
        image.save(stream, "PNG", icc_profile=sound_profile(image))
        data = stream.getvalue()
    write_atomically(studio.store.path(key, file), lambda stream: stream.write(data))
    return file


def drawn_by_another(studio: Studio, data: bytes) -> dict[str, Any]:
    """What drew an upload that is not so here, {name: then}; the same settings may give
    another picture then. Empty for pictures that do not say."""
    try:
        said = read_metadata(io.BytesIO(data)).request or {}
        then = {name: said[name] for name in ("backend", "versions") if name in said}
        result = Result.from_json({"file_name": "upload.png", **then})
    except RequestError:
        return {}
    return differences(result, {**studio.loaded.backend, **studio.loaded.versions})


def find_references(studio: Studio, key: str, request: Mapping[str, Any]) -> int:
    """Use the pictures of a request again, where this session has them, and has room for them;
    counts the others."""
    asked = request.get("reference_images") or ()
    found: dict[str, float] = {}
    missing = 0
    for item in asked[:MOST_LISTED] if isinstance(asked, list | tuple) else ():
        said = item if isinstance(item, dict) else {}
        name = studio.store.find_reference(key, said.get("sha256"))
        weight = said.get("weight", 1.0)
        if name and isinstance(weight, int | float):
            found[name] = min(MOST_WEIGHT, max(LEAST_WEIGHT, float(weight)))
        else:
            missing += 1
    session = studio.store.update(key, lambda session: state.use_references(session, found))
    missing += state.not_used(session, found)
    for control in state.picture_controls():
        told = request.get(control)
        digest = told.get("sha256") if isinstance(told, dict) else None
        file = studio.store.find_reference(key, digest)
        missing += bool(told) and not file
        studio.store.update(key, partial(state.set_control, name=control, value=file))
    return missing


def give_picture(studio: Studio, key: str, control: str, data: bytes | None) -> None:
    """Take a visitor's picture for a control of its own, or take it away.

    Raises:
        RefusedError: too large.
        ImageError: no picture, or damaged.
    """
    file = None if data is None else studio.store.keep_reference(key, fitted(studio, data))
    studio.store.update(key, lambda session: state.set_control(session, control, file))


def add_reference(studio: Studio, key: str, data: bytes, name: str) -> None:
    """Take a visitor's picture as a reference.

    Raises:
        RefusedError: too large, or there are as many as the model reads.
        ImageError: no picture, or damaged.
    """
    file = studio.store.keep_reference(key, fitted(studio, data))
    item = ReferenceItem(file, shortened(name, 80))
    studio.store.update(key, lambda session: state.add_reference(session, item))


def picture_as_reference(studio: Studio, key: str, picture: str) -> None:
    """Take a picture of the session as a reference."""
    item = studio.store.load(key).find(picture)
    if item is not None:
        add_reference(studio, key, studio.store.read(key, item.file), f"{item.id}.png")


def upload_mask(studio: Studio, key: str, data: bytes) -> None:
    """Mark by a mask image: white is to change.

    Raises:
        RefusedError: too large, or with nothing white in it.
        ImageError: no picture, or damaged.
    """
    check_size(data)
    frame = studio.frame(studio.store.load(key))
    change = blocks.from_mask(load_mask(data), frame.grid, frame.size, frame.stretch)
    if not change:
        raise RefusedError("mask_not_white")
    studio.store.update(key, lambda s: state.mark_to_change(s, change, frame.grid))


def mask(studio: Studio, key: str) -> bytes:
    """The marked blocks as a PNG: white is to change."""
    session = studio.store.load(key)
    frame = studio.frame(session)
    change = state.blocks_to_change(session.view, frame.grid)
    return png_bytes(blocks.to_mask(change, frame.grid, frame.size))


def fitted(studio: Studio, data: bytes) -> Image.Image:
    """A visitor's picture in sRGB, in the size that suits its proportions."""
    image = to_srgb(open_upload(studio, data))
    return studio.frames.choose(image.size).fit(image)


def open_upload(studio: Studio, data: bytes) -> Image.Image:
    """A visitor's picture in its own colours, checked as the command line checks files."""
    check_size(data)
    return load_original(data)


def check_size(data: bytes) -> None:
    """Raise `RefusedError` where an upload is too large to be looked at."""
    if len(data) > MAX_UPLOAD:
        raise too_large(len(data))


def too_large(size: int) -> RefusedError:
    """That a file of so many bytes is larger than those that are looked at."""
    return RefusedError("upload_too_large", size=-(-size >> 20), most=MAX_UPLOAD >> 20)


def score_of(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else None
