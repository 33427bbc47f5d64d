"""Everything that one picture is generated under."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # requests and help texts do not wait for torch
    from PIL import Image

    from ufc.conditioning.frame import Frame
    from ufc.conditioning.known_tokens import EditCanvas
    from ufc.conditioning.original_size import Photograph


@dataclass(frozen=True)
class Conditioning:
    """The controls of one picture, checked and opened.

    Attributes:
        prompt: words; None is none.
        negative_prompt: words of guidance's other branch.
        references: pictures to take after, RGB.
        reference_weights: how strongly each is attended to, 0..10.
        edit: the picture to edit, with its known tokens; None where nothing is kept.
        frame: the picture's size.
        photograph: what `edit` is a part of, where it comes back at the photograph's own size.
        further: the values of `further_controls()` by name.
    """

    prompt: str | None
    negative_prompt: str | None
    references: Sequence[Image.Image]
    reference_weights: Sequence[float]
    edit: EditCanvas | None
    frame: Frame
    photograph: Photograph | None = None
    further: Mapping[str, Any] = field(default_factory=dict)
