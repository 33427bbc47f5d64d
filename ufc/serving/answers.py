"""Answers in the shape of the OpenAI images API; what is this project's own stands beside it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import BaseModel

from ufc.io.png.metadata import rounded
from ufc.requests.description import picture_metadata
from ufc.requests.loading import Loaded
from ufc.serving.batching import Done, Preview
from ufc.serving.bodies import ImageRequest
from ufc.serving.incoming import Wanted
from ufc.serving.pictures import encoded


class InputTokens(BaseModel):
    """Tokens of the prompt, and codes of reference images."""

    text_tokens: int
    image_tokens: int


class Usage(BaseModel):
    """What the model read and made, in tokens; a block is one."""

    input_tokens: int
    input_tokens_details: InputTokens
    output_tokens: int
    total_tokens: int


class PictureAnswer(BaseModel):
    """One picture.

    `compliance` (null without controls) and `fidelity` are the model's own scores, 0..1; `notices`
    says what was changed on the request's way in.
    """

    b64_json: str
    index: int
    seed: int | None
    compliance: float | None
    fidelity: float | None
    notices: list[str]


class ImagesAnswer(BaseModel):
    """The pictures of a request."""

    created: int
    data: list[PictureAnswer]
    model: str
    size: str
    output_format: Literal["png", "jpeg", "webp"]
    background: Literal["opaque"] = "opaque"
    quality: str = "auto"
    usage: Usage


class ModelAnswer(BaseModel):
    """A model that is served."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "ufc"


class ModelsAnswer(BaseModel):
    """The models that are served: one."""

    object: Literal["list"] = "list"
    data: list[ModelAnswer]


class HealthAnswer(BaseModel):
    """Whether pictures are being generated, and how many wait."""

    status: Literal["ok", "failing"]
    model: str
    waiting: int
    running: int


def usage_of(wanted: Wanted, pictures: int) -> Usage:
    """Tokens that went in and came out for so many pictures."""
    text, image = wanted.tokens
    made = pictures * wanted.grid[0] * wanted.grid[1]
    return Usage(
        input_tokens=text + image,
        input_tokens_details=InputTokens(text_tokens=text, image_tokens=image),
        output_tokens=made,
        total_tokens=text + image + made,
    )


def picture_answer(done: Done, wanted: Wanted, body: ImageRequest, loaded: Loaded) -> PictureAnswer:
    """A picture as its file; a PNG says how it was made, as those of the command line do."""
    out, i = done.out, done.place
    compliance, fidelity = rounded(out.compliance[i]), rounded(out.fidelity[i])
    result = replace(
        done.row.picture,
        status="done",
        model=loaded.name,
        backend=loaded.backend,
        versions=loaded.versions,
        compliance=compliance,
        fidelity=fidelity,
        steps=out.steps[i],
    )
    metadata = picture_metadata(loaded, done.row, out, i, wanted.hashes, result)
    return PictureAnswer(
        b64_json=encoded(out.images[i], body.output_format, metadata, body.output_compression),
        index=done.index,
        seed=out.seeds[i],
        compliance=compliance,
        fidelity=fidelity,
        notices=out.notices[i],
    )


def images_answer(
    pictures: Sequence[PictureAnswer], wanted: Wanted, body: ImageRequest, model: str, size: str
) -> ImagesAnswer:
    """The answer with all pictures of a request."""
    return ImagesAnswer(
        created=int(time.time()),
        data=sorted(pictures, key=lambda picture: picture.index),
        model=model,
        size=size,
        output_format=body.output_format,
        usage=usage_of(wanted, len(pictures)),
    )


def event_text(name: str, data: dict[str, Any]) -> str:
    """One server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data, allow_nan=False)}\n\n"


def shared(body: ImageRequest, size: str) -> dict[str, Any]:
    """What every event with a picture says."""
    return {
        "created_at": int(time.time()),
        "size": size,
        "output_format": body.output_format,
        "background": "opaque",
        "quality": "auto",
    }


def preview_event(kind: str, preview: Preview, body: ImageRequest) -> str:
    """A picture on its way, `kind` being `image_generation` or `image_edit`."""
    name, size = f"{kind}.partial_image", size_of(preview.image)
    data = {
        "type": name,
        "b64_json": encoded(preview.image, body.output_format, None, body.output_compression),
        "partial_image_index": preview.number,
        "index": preview.index,
    }
    return event_text(name, data | shared(body, size))


def completed_event(
    kind: str, picture: PictureAnswer, wanted: Wanted, body: ImageRequest, size: str
) -> str:
    """A finished picture."""
    name = f"{kind}.completed"
    data = {"type": name, **picture.model_dump(), "usage": usage_of(wanted, 1).model_dump()}
    return event_text(name, data | shared(body, size))


def size_of(image: Any) -> str:
    """WIDTHxHEIGHT."""
    return f"{image.width}x{image.height}"
