"""Words, English or Chinese."""

from __future__ import annotations

from ufc.conditioning.controls.base import Control, register_control


@register_control
class Prompt(Control):
    name = "prompt"
