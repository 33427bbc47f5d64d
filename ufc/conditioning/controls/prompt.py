"""Words, English or Chinese."""

from __future__ import annotations

from ufc.conditioning.conditioning import Conditioning
from ufc.conditioning.control_item import ControlItem
from ufc.conditioning.controls.base import Control, Encoders, register_control


@register_control
class Prompt(Control):
    name = "prompt"
    help = "What to generate, in English or Chinese."
    own_fields = True

    def tokens(self, given: Conditioning, encoders: Encoders) -> ControlItem:
        return ControlItem(encoders.text(given.prompt or ""))
