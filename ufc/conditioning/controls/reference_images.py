"""Pictures to take after, each with a weight."""

from __future__ import annotations

from ufc.conditioning.conditioning import Conditioning
from ufc.conditioning.control_item import ControlItem
from ufc.conditioning.controls.base import Control, Encoders, register_control


@register_control
class ReferenceImages(Control):
    name = "reference_images"
    kind = "picture"
    help = "Pictures to follow."
    own_fields = True

    def tokens(self, given: Conditioning, encoders: Encoders) -> ControlItem:
        pairs = zip(given.references, given.reference_weights, strict=True)
        used = [(picture, weight) for picture, weight in pairs if weight > 0]
        return ControlItem(
            references=[encoders.picture(picture) for picture, _ in used],
            weights=[weight for _, weight in used],
        )
