"""Words as vectors, in place of a prompt: mixed or weighted by who gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ufc.conditioning.control_item import ControlItem, embedded_words
from ufc.conditioning.controls.base import Control, Encoders, register_control

if TYPE_CHECKING:
    from torch import Tensor


@register_control
class PromptEmbeds(Control):
    name = "prompt_embeds"
    kind = "embeds"

    def encode(self, value: Tensor, encoders: Encoders) -> ControlItem:
        return embedded_words(value)
