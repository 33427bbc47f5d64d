"""Words, English or Chinese."""

from __future__ import annotations

from ufc.conditioning.control_item import ControlItem
from ufc.conditioning.controls.base import Control, Encoders, register_control


@register_control
class Prompt(Control):
    name = "prompt"

    def encode(self, value: str, encoders: Encoders) -> ControlItem:
        return ControlItem(encoders.text(value))
