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
from ufc.conditioning.kinds import KINDS, Kind, Picture, Place, Reference
from ufc.io.validation import RequestError, check_path, refuse_unknown

OF_AN_EDIT = ("mask_image", "preserve_blocks", "outpaint")  # one of them says what is kept
OF_AN_IMAGE = frozenset(("image", "codes", *OF_AN_EDIT))


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
    prompt_embeds: Annotated[Any, KINDS["embeds"]] = Field(
        None, description="Words as vectors, in place of the prompt."
    )
    negative_prompt_embeds: Annotated[Any, KINDS["embeds"]] = Field(
        None, description="The same of the negative prompt."
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
        refuse_unknown(controls.keys(), tuple(known), "conditioning")
        super().__init__(
            **{
                name: known[name].kind.check(name, value)
                for name, value in controls.items()
                if value is not None
            }
        )
        for name in ("prompt", "negative_prompt"):
            if getattr(self, name) and getattr(self, f"{name}_embeds") is not None:
                raise RequestError(f"got both {name} and {name}_embeds; give one of them")

    def present(self) -> dict[str, Any]:
        """The controls that say something, by name."""
        values = {name: getattr(self, name) for name in self.model_fields_set}
        values |= self.model_extra or {}
        return {
            name: value
            for name in control_fields()
            if (value := values.get(name)) is not None
            and not (isinstance(value, bool | tuple) and not value)
        }

    @property
    def pictures(self) -> dict[str, list[Any]]:
        """The pictures of each control that has some, or their paths."""
        kinds = picture_kinds()
        given = self.present()
        return {name: kinds[name].pictures(given[name]) for name in given if name in kinds}

    def with_pictures(self, place: Mapping[str, Place] | Place) -> Conditioning:
        """The same with `place(picture)` for each picture; one for all, or one for each control."""
        kinds = picture_kinds()
        placed = {
            name: kinds[name].with_pictures(
                value, place[name] if isinstance(place, Mapping) else place
            )
            for name, value in self.present().items()
            if name in kinds
        }
        return self.model_copy(update=placed)

    def check_request(self, whole: bool = False) -> None:
        """Raise `RequestError` unless it can stand in a file: pictures by path, edits complete.

        With `whole`, all of an image may be changed: a strength says how far.
        """
        for name, paths in self.pictures.items():
            for path in paths:
                check_path(name, path)
        if self.invert_mask and not self.mask_image:
            raise RequestError("invert_mask: there is no mask to invert; give a mask_image")
        given = [name for name in OF_AN_EDIT if getattr(self, name)]
        if self.image is None and given:
            raise RequestError(f"{given[0]}: needs the image it belongs to; give an image too")
        if self.image is not None and not given and not whole:
            raise RequestError(
                "image: nothing says what to keep of it; give a mask_image, preserve_blocks or "
                "outpaint, a strength to change all of it, or give it as a reference image"
            )
        if len(given) > 1:
            raise RequestError(f"got both {' and '.join(given)}; give one of them")


def control_fields() -> dict[str, ControlField]:
    """Every control: the fields of `Conditioning`, and what is registered beside them."""
    further = {name: ControlField(KINDS[one.kind], one.help) for name, one in CONTROLS.items()}
    own = {}
    for name, field in Conditioning.model_fields.items():
        kind = next(part for part in field.metadata if isinstance(part, Kind))
        own[name] = ControlField(kind, field.description or "")
        further.pop(name, None)
    return own | further


def picture_kinds() -> dict[str, Picture]:
    """The kinds of those whose values are pictures."""
    kinds = {name: field.kind for name, field in control_fields().items()}
    return {name: kind for name, kind in kinds.items() if isinstance(kind, Picture)}


def request_controls() -> dict[str, ControlField]:
    """Those that requests have: what a file or a flag can say."""
    return {name: field for name, field in control_fields().items() if field.kind.in_requests}


def registered_controls() -> dict[str, ControlField]:
    """Those that are not fields of `Conditioning`."""
    own = Conditioning.model_fields
    return {name: field for name, field in control_fields().items() if name not in own}
