"""`Conditioning`: every control of a picture once, with its kind and help.

Pipeline calls, prompts files, manifests, PNG metadata, flags and the editor derive from here, as
sampling settings do from `GenerationConfig`. Controls that are registered from elsewhere
(`ufc.conditioning.controls`) count as fields too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from ufc.conditioning.controls import CONTROLS
from ufc.conditioning.kinds import KINDS, Kind, Place, Reference
from ufc.conditioning.normalise import normalise
from ufc.io.validation import NothingAskedError, RequestError, check_path, refuse_unknown

OF_AN_EDIT = ("mask_image", "preserve_blocks", "outpaint")  # one of them says what is kept


class ControlField(NamedTuple):
    """A control as everybody derives it: what kind of value it has, and what its help says."""

    kind: Kind
    help: str


class Conditioning(BaseModel):
    """What one picture is generated under; what is left out, or None, is absent.

    Pictures are paths in a request; in a call they are PIL images, arrays or tensors.

    Raises:
        RequestError: an unknown control, or a value of another kind or out of its range.
    """

    model_config = ConfigDict(
        frozen=True, extra="allow", arbitrary_types_allowed=True, defer_build=True
    )

    prompt: Annotated[str | None, KINDS["text"]] = Field(
        None, description="Words, English or Chinese."
    )
    negative_prompt: Annotated[str | None, KINDS["text"]] = Field(
        None, description="What to keep away from."
    )
    reference_images: Annotated[tuple[Reference, ...], KINDS["references"]] = Field(
        (), description="A picture to follow; may be given several times."
    )
    image: Annotated[Any, KINDS["own picture"]] = Field(
        None,
        description="A picture to keep parts of. It is fitted into the grid of blocks that is "
        "nearest to its proportions (a model of squares lays it into its square, white beside it).",
    )
    mask_image: Annotated[Any, KINDS["mask"]] = Field(
        None,
        description="White is regenerated, black is kept; the image's size or proportions.",
    )
    invert_mask: Annotated[bool, KINDS["switch"]] = Field(
        False, description="Black is regenerated, white is kept."
    )
    preserve_blocks: Annotated[tuple[int, ...] | None, KINDS["blocks"]] = Field(
        None,
        description="Blocks to keep, such as 0-47,60: cells of the model's grid, counted row by "
        "row from 0 at the top left.",
    )
    outpaint: Annotated[tuple[int, ...] | None, KINDS["sides"]] = Field(
        None,
        description="Blocks to add to the image at top, right, bottom and left, such as 0,2,0,2.",
    )
    codes: Annotated[tuple[int, ...] | None, KINDS["codes"]] = Field(
        None, description="Codes of the image, which is then not encoded."
    )

    def __init__(self, **controls: Any) -> None:
        known = control_fields()
        refuse_unknown(controls, tuple(known), "conditioning")
        super().__init__(
            **{
                name: known[name].kind.check(name, value)
                for name, value in controls.items()
                if value is not None
            }
        )

    def given(self) -> dict[str, Any]:
        """The controls that were given, by name."""
        own = {name: getattr(self, name) for name in self.model_fields_set}
        values = own | (self.model_extra or {})
        return {name: values[name] for name in control_fields() if name in values}

    def said(self) -> dict[str, Any]:
        """The controls that say something, by name."""
        empty = (False, ())
        return {
            name: value
            for name, value in self.given().items()
            if not (isinstance(value, bool | tuple) and value in empty)
        }

    @property
    def pictures(self) -> dict[str, list[Any]]:
        """The pictures of each control that has some, or their paths."""
        fields = control_fields()
        found = {name: fields[name].kind.pictures(value) for name, value in self.said().items()}
        return {name: pictures for name, pictures in found.items() if pictures}

    @property
    def paths(self) -> list[str]:
        """Every file that is named, in a fixed order."""
        return [path for paths in self.pictures.values() for path in paths]

    def with_pictures(self, place: Mapping[str, Place] | Place) -> Conditioning:
        """The same with `place(picture)` for each picture; one for all, or one for each control."""
        fields, given = control_fields(), self.given()
        for name in self.pictures:
            own = place[name] if isinstance(place, Mapping) else place
            given[name] = fields[name].kind.with_pictures(given[name], own)
        return Conditioning(**given)

    def to_json(self) -> dict[str, Any]:
        """The controls that say something, as JSON."""
        fields = control_fields()
        return {name: fields[name].kind.to_json(value) for name, value in self.said().items()}

    def described(self, digests: Mapping[str, str]) -> dict[str, Any]:
        """As a finished picture tells it: files by the sha256 that `digests` has by path."""
        fields, said = control_fields(), self.said()
        return {name: fields[name].kind.described(value, digests) for name, value in said.items()}

    def check_request(self) -> None:
        """Raise `RequestError` unless it can stand in a file: pictures by path, edits complete."""
        for name, paths in self.pictures.items():
            for path in paths:
                check_path(name, path)
        if self.invert_mask and not self.mask_image:
            raise RequestError("invert_mask: there is no mask to invert; give a mask_image")
        given = [name for name in OF_AN_EDIT if getattr(self, name)]
        if self.image is None and given:
            raise RequestError(f"{given[0]}: needs the image it belongs to; give an image too")
        if self.image is not None and not given:
            raise RequestError(
                "image: nothing says what to keep of it; give a mask_image, preserve_blocks or "
                "outpaint, or give it as a reference image"
            )
        if len(given) > 1:
            raise RequestError(f"got both {' and '.join(given)}; give one of them")

    def check_not_empty(self) -> None:
        """Raise `RequestError` where there is nothing to go by."""
        said = {name: value for name, value in self.said().items() if name != "negative_prompt"}
        if not normalise(self.prompt or ""):
            said.pop("prompt", None)
        if not said:
            raise NothingAskedError(
                "nothing says what to generate: give a prompt, a reference image or an image "
                "to edit"
            )


def control_fields() -> dict[str, ControlField]:
    """Every control: the fields of `Conditioning`, and what is registered beside them."""
    further = {name: ControlField(KINDS[one.kind], one.help) for name, one in CONTROLS.items()}
    own = {}
    for name, field in Conditioning.model_fields.items():
        kind = next(part for part in field.metadata if isinstance(part, Kind))
        own[name] = ControlField(kind, field.description or "")
        further.pop(name, None)
    return own | further


def request_controls() -> dict[str, ControlField]:
    """Those that requests have: what a file or a flag can say."""
    return {name: field for name, field in control_fields().items() if field.kind.in_requests}


def registered_controls() -> dict[str, ControlField]:
    """Those that are not fields of `Conditioning`."""
    own = Conditioning.model_fields
    return {name: field for name, field in control_fields().items() if name not in own}
