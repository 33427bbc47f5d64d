"""Pictures made from others: a step of one, blocks of two, the weakest blocks marked."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from PIL import Image

from ufc.io.embedded_tokens import block_record
from ufc.io.png.metadata import Metadata, save_options
from ufc.token_confidence import assess, weakest
from ufc_base.profiles import in_profile, sound_profile
from webui.drawing import blocks
from webui.drawing.origins import to_origins
from webui.sessions import state
from webui.sessions.generating.generation import write_png
from webui.sessions.state import (
    Picture,
    RefusedError,
    Session,
)

if TYPE_CHECKING:
    from webui.sessions.studio import Studio


def find_weakest(studio: Studio, key: str, count: int) -> None:
    """Mark the blocks that the model doubts most, to be regenerated."""
    session = studio.store.load(key)
    if session.current is None:
        return
    frame = studio.frame(session)
    found = assess(
        studio.loaded.pipe,
        codes_of(studio, key, session.current),
        session.settings.prompt.strip() or None,
        [studio.store.open_picture(key, item.file) for item in session.references if item.on],
        frame.grid,
    )
    change = weakest(found.confidence, count)
    studio.store.update(key, lambda s: state.mark_to_change(s, change, frame.grid))


def continue_from(studio: Studio, key: str, picture: str, step: int) -> None:
    """A step of a generation as a picture of its own, on the canvas.

    Raises `ValueError` where the picture has no such step.
    """
    source = studio.store.load(key).find(picture)
    steps = studio.store.read_details(key, picture).get("steps", [])
    if source is None or not 0 <= step < len(steps):
        raise ValueError(f"picture {picture} has no step {step + 1}")
    image = step_image(studio, key, source, step)
    codes, details = step_details(studio, key, source, step)
    place_made(studio, key, "step", image, codes, source, details)


def step_png(studio: Studio, key: str, picture: Picture, step: int) -> bytes:
    """A step of a drawing as the file that it would have as a picture of its own."""
    codes, details = step_details(studio, key, picture, step)
    image = step_image(studio, key, picture, step)
    stream = io.BytesIO()
    metadata = metadata_of(studio, image, codes, details, picture.id)
    image.save(stream, **save_options(metadata, ".png"))
    return stream.getvalue()


def step_details(
    studio: Studio, key: str, source: Picture, step: int
) -> tuple[tuple[int, ...], dict[str, Any]]:
    """The codes of a step, and what is known of it block by block."""
    details = studio.store.read_details(key, source.id)
    steps = details["steps"]
    return tuple(steps[step]["codes"]), {
        "origin": [
            {"picture": source.id, "seed": source.seed, "step": drawn, "candidate": candidate}
            if drawn >= 0
            else story
            for story, drawn, candidate in zip(
                details["origin"], steps[step]["drawn"], steps[step]["candidate"], strict=True
            )
        ],
        "confidence": [
            sure if drawn >= 0 else before
            for before, sure, drawn in zip(
                details["confidence"],
                steps[step]["confidence"],
                steps[step]["drawn"],
                strict=True,
            )
        ],
        "steps": steps[: step + 1],
        "curves": details.get("curves", [])[: step + 1],
    }


def cross(studio: Studio, key: str, other: str) -> None:
    """Take the marked blocks from another picture, and mark the seam to be regenerated.

    Raises `RefusedError` where nothing is marked, there are not two pictures, or one of them is of
    a size of its own, of which the canvas shows but a small copy.
    """
    session = studio.store.load(key)
    one, two = session.current, session.find(other)
    if one is None or two is None or one.id == two.id or not session.view.marks:
        raise RefusedError("cross_unmarked")
    if studio.frame_of(one) != studio.frame_of(two):
        raise RefusedError("cross_shapes")
    if one.full or two.full:
        raise RefusedError("cross_photograph")
    taken, grid = session.view.marks, studio.frame_of(one).grid
    images = [studio.store.open_picture(key, picture.file) for picture in (one, two)]
    image = blocks.mix(images[0], images[1], taken, grid)
    pair = [codes_of(studio, key, picture) for picture in (one, two)]
    stories = [stories_of(studio, key, picture) for picture in (one, two)]
    from_two = set(taken)
    cells = range(grid[0] * grid[1])
    codes = tuple(pair[cell in from_two][cell] for cell in cells)
    details = {
        name: [stories[cell in from_two][name][cell] for cell in cells]
        for name in ("origin", "confidence")
    }
    place_made(studio, key, "cross", image, codes, one, details, blocks.seam(taken, grid))


def codes_of(studio: Studio, key: str, picture: Picture) -> tuple[int, ...]:
    """The codes of a picture: its own, or what the tokenizer makes of an upload."""
    if picture.codes:
        return picture.codes
    image = studio.store.open_picture(key, picture.file)
    return tuple(studio.loaded.pipe.encode([image], studio.frame_of(picture)).flatten().tolist())


def step_image(studio: Studio, key: str, picture: Picture, step: int) -> Image.Image:
    """A picture as it was after a step, with what it kept of its parent in it."""
    codes = studio.store.read_details(key, picture.id)["steps"][step]["codes"]
    image = studio.loaded.pipe.decode_pil([codes], studio.frame_of(picture).grid)[0]
    if picture.kept:
        whole = studio.store.open_picture(key, picture.file)
        image = in_profile(image, sound_profile(whole))
        image = blocks.mix(image, whole, picture.kept, studio.frame_of(picture).grid)
    return image


def stories_of(studio: Studio, key: str, picture: Picture) -> dict[str, list[Any]]:
    """Origin and confidence of every block, also where nothing was written down."""
    cells = studio.frame_of(picture).cells
    details = studio.store.read_details(key, picture.id)
    unknown = {"picture": picture.id, "kind": picture.kind}
    return {
        "origin": details.get("origin") or [unknown] * cells,
        "confidence": details.get("confidence") or [None] * cells,
    }


def metadata_of(
    studio: Studio,
    image: Image.Image,
    codes: tuple[int, ...],
    details: Mapping[str, Any],
    name: str,
) -> Metadata:
    """What the file of a picture made from others says of its blocks."""
    origins = to_origins(details["origin"], name)
    return Metadata(
        blocks=block_record(studio.loaded.pipe, image, codes, details["confidence"], origins)
    )


def place_made(
    studio: Studio,
    key: str,
    kind: str,
    image: Image.Image,
    codes: tuple[int, ...],
    parent: Picture,
    details: dict[str, Any],
    marks: blocks.Blocks | None = None,
) -> None:
    """A picture made from others, on the canvas; `marks` are to change."""

    (name,) = studio.store.names(key)
    picture = Picture(
        name,
        f"pictures/{name}.png",
        kind,
        parent=parent.id,
        codes=codes,
        grid=studio.frame_of(parent).grid,
        request=parent.request,
        seed=parent.seed,
    )
    metadata = metadata_of(studio, image, codes, details, name)
    write_png(studio.store, key, picture.file, image, metadata)
    studio.store.write_details(key, name, details)

    def place(session: Session) -> Session:
        session = state.add(session, [picture])
        if marks is None:
            return session
        view = replace(session.view, marks=marks, keep=False)
        return replace(session, view=view)

    studio.store.update(key, place)
