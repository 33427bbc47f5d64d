"""Pictures to take after, each with a weight."""

from __future__ import annotations

from collections.abc import Sequence

from ufc.conditioning.control_item import ControlItem
from ufc.conditioning.controls.base import Control, Encoders, register_control
from ufc.conditioning.kinds import Reference


@register_control
class ReferenceImages(Control):
    name = "reference_images"
    kind = "references"

    def encode(self, value: Sequence[Reference], encoders: Encoders) -> ControlItem:
        used = [one for one in value if one.weight > 0]
        return ControlItem(
            references=[encoders.picture(one.picture) for one in used],
            weights=[one.weight for one in used],
        )
