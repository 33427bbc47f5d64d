"""Bodies of requests as pydantic models, derived from `Conditioning` and `GenerationConfig`.

A control that is registered, or a setting that is added, is a field here by itself. Two models
have the same fields: one of JSON, with pictures in base64, and one of forms, with pictures as
files. Neither takes a path or an address: no request reads a file of the server's.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    create_model,
    field_validator,
    model_validator,
)

from ufc.conditioning.conditioning import ControlField, request_controls
from ufc.conditioning.kinds import Blocks, Picture, References, Sides, Switch
from ufc.conditioning.sequence import MAX_REFERENCES
from ufc.sampling.generation_config import REQUEST_SETTINGS, SETTINGS, kind_of
from ufc.sampling.orders import ORDERS

MOST_LETTERS = 32_000  # of a text, as the API that this follows has it
MOST_PREVIEWS = 16
COUNT = "num_images_per_prompt"  # is `n` here
WEIGHTS = "reference_weights"  # of a form, where a reference is a file
_SIZE = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")
_UNUSED = "Taken for the sake of other clients, and without effect."


def picture_bytes(value: Any) -> Any:
    """Bytes of a picture in base64, or in a `data:` address.

    Raises:
        ValueError: it is no base64; an address of the web, say, which is not fetched.
    """
    if not isinstance(value, str):
        return value
    if value.startswith("data:"):
        value = value.partition(",")[2]
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("wanted a picture's bytes in base64; addresses are not fetched") from None


_BASE64 = {
    "type": "string",
    "format": "byte",
    "contentEncoding": "base64",
    "examples": ["data:image/png;base64,…"],
}
_FILE = {"type": "string", "format": "binary"}
Picture64 = Annotated[bytes, BeforeValidator(picture_bytes), WithJsonSchema(_BASE64)]
PictureFile = Annotated[bytes, WithJsonSchema(_FILE)]
Words = Annotated[str, Field(max_length=MOST_LETTERS)]
# Lists have an end that is looked at while they are read, and one error of theirs is enough: a
# body has room for millions of entries, and they are read on the event loop.
BlockNumbers = Annotated[list[int], Field(max_length=2**16, fail_fast=True)]


class WeighedReference(BaseModel):
    """A reference image and how much it counts, 0..10; 1 is as trained."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    b64_json: Picture64
    weight: float = Field(1.0, ge=0, le=10)

    @model_validator(mode="before")
    @classmethod
    def few_fields(cls, value: Any) -> Any:
        if isinstance(value, dict) and len(value) > len(cls.model_fields):
            raise ValueError("wanted b64_json and weight, and no other fields")
        return value


_IN_JSON: dict[type, Any] = {
    Switch: bool,
    References: Annotated[list[Picture64 | WeighedReference], Field(max_length=MAX_REFERENCES)],
    Picture: Picture64,
    Blocks: BlockNumbers | str,
    Sides: Annotated[list[int], Field(max_length=4)] | str,
}
_IN_FORMS: dict[type, Any] = {
    Switch: bool,
    References: Annotated[list[PictureFile], Field(max_length=MAX_REFERENCES)],
    Picture: PictureFile,
    Blocks: str,
    Sides: str,
}


class ImageRequest(BaseModel):
    """The fields that the OpenAI images API has; those of this project are added to them."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    model: str | None = Field(None, description="The model's name; there is one.")
    n: int = Field(1, ge=1, le=10_000, description="Pictures; picture i uses seed + i.")
    size: str = Field(
        "auto",
        description="WIDTHxHEIGHT in pixels, multiples of the block size; auto is as trained, or "
        "of an edit as the image's shape.",
        json_schema_extra={"pattern": "^(auto|[1-9][0-9]{0,4}x[1-9][0-9]{0,4})$"},
    )
    response_format: Literal["b64_json"] = "b64_json"
    output_format: Literal["png", "jpeg", "webp"] = Field(
        "png", description="A PNG has what an edit takes up without loss."
    )
    output_compression: int | None = Field(
        None, ge=0, le=100, description="Quality of a JPEG or WebP."
    )
    stream: bool = Field(False, description="Server-sent events: previews, then the pictures.")
    partial_images: int = Field(
        0, ge=0, le=MOST_PREVIEWS, description="Previews of each picture, with stream."
    )
    background: Literal["auto", "opaque"] = Field("auto", description=_UNUSED)
    quality: str = Field("auto", max_length=32, description=_UNUSED)
    style: str | None = Field(None, max_length=32, description=_UNUSED)
    moderation: str | None = Field(None, max_length=32, description=_UNUSED)
    input_fidelity: str | None = Field(None, max_length=32, description=_UNUSED)
    user: str | None = Field(None, max_length=1_000, description=_UNUSED)
    safety_identifier: str | None = Field(None, max_length=1_000, description=_UNUSED)

    @field_validator("*", mode="before")
    @classmethod
    def null_is_left_out(cls, value: Any, info: Any) -> Any:
        """`null` stands for the default of every field."""
        if value is None and info.field_name in cls.model_fields:
            return cls.model_fields[info.field_name].get_default()
        return value

    @field_validator("size")
    @classmethod
    def readable_size(cls, value: str) -> str:
        if value != "auto" and not _SIZE.fullmatch(value):
            raise ValueError('wanted "auto" or WIDTHxHEIGHT, such as 64x64')
        return value

    @property
    def sides(self) -> dict[str, int]:
        """Height and width, where the size says them."""
        found = _SIZE.fullmatch(self.size)
        return {"width": int(found[1]), "height": int(found[2])} if found else {}

    @property
    def own_settings(self) -> dict[str, Any]:
        """The sampling settings that were given, by name."""
        given = {name: getattr(self, name, None) for name in REQUEST_SETTINGS}
        return {name: value for name, value in given.items() if value is not None}


def json_body() -> type[ImageRequest]:
    """The body of `/v1/images/generations`."""
    return create_model(
        "GenerationBody",
        __base__=ImageRequest,
        __doc__="What pictures are generated from, as JSON; pictures are in base64.",
        __cls_kwargs__={"strict": True},
        **_fields(_IN_JSON),
    )


def form_body() -> type[ImageRequest]:
    """The body of `/v1/images/edits`."""
    fields = _fields(_IN_FORMS)
    fields["image"] = (
        list[PictureFile],
        Field(
            min_length=1,
            max_length=MAX_REFERENCES + 1,  # the one to edit, and references
            description=f"{fields['image'][1].description} Further ones are reference images, and "
            "so is the first without mask, transparency, blocks, outpaint and strength.",
        ),
    )
    fields["mask"] = (
        PictureFile | None,
        Field(
            None,
            description="Transparent is regenerated, the rest is kept; a mask without "
            "transparency is read as mask_image. The image's own transparency stands for it.",
        ),
    )
    fields[WEIGHTS] = (
        Annotated[list[Annotated[float, Field(ge=0, le=10)]], Field(max_length=MAX_REFERENCES)]
        | None,
        Field(None, description="How much each of reference_images counts, in their order (1)."),
    )
    return create_model(
        "EditForm",
        __base__=ImageRequest,
        __doc__="An edit as a form; pictures are files.",
        **fields,
    )


def _fields(types: Mapping[type, Any]) -> dict[str, Any]:
    fields = {name: _control(control, types) for name, control in request_controls().items()}
    return fields | {name: _setting(name) for name in REQUEST_SETTINGS if name != COUNT}


def _control(control: ControlField, types: Mapping[type, Any]) -> Any:
    kind = next((types[one] for one in type(control.kind).__mro__ if one in types), Words)
    return kind | None, Field(None, description=control.help)


def _setting(name: str) -> Any:
    info = SETTINGS[name]
    kind: Any = kind_of(name)
    for bound in info.metadata:
        kind = Annotated[kind, bound]
    if name == "order":
        kind = Annotated[kind, WithJsonSchema({"type": "string", "enum": list(ORDERS)})]
    return kind | None, Field(None, description=info.description)
