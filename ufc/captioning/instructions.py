"""How an instruction whose target is text or blocks reaches the transformer."""

from __future__ import annotations

from collections.abc import Mapping

from ufc.captioning.text_target import ANSWER_SLOTS, CAPTION_SLOTS
from ufc.tasks.plan import Plan
from ufc.tasks.slot_values import words_of


def spoken(plan: Plan, values: Mapping[str, str]) -> str:
    """The words that stand before the slots: all that are given but those to be filled in."""
    return words_of(plan.instruction, {**values, plan.target.name: " "})


def slots_of(plan: Plan) -> int:
    """Slots of a text that is told from nothing."""
    said = plan.target.value("max_length")
    if said is not None:
        return int(said)
    return CAPTION_SLOTS if plan.target.value("closed_set") is None else ANSWER_SLOTS
