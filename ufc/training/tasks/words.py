"""A training sample of a task whose target is text: captions, answers, words to fill in."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ufc.captioning.instructions import slots_of, spoken
from ufc.captioning.text_target import TextTarget, with_end
from ufc.conditioning.control_item import ControlItem
from ufc.conditioning.text import TextTokenizer
from ufc.tasks.attributes import IMAGE
from ufc.tasks.plan import Plan
from ufc.training.tasks.values import Record, text_of


@dataclass(frozen=True)
class TaskSample:
    """Controls with what is to be told of them.

    Attributes:
        labels: true ids of masked words, aligned with the item's text, -1 where nothing is asked.
        blocks_T: of the first reference's blocks those that the words are about; None where none
            are asked for.
        spoken: how many of the labels there are up to the first end; slots behind it say nothing.
    """

    item: ControlItem
    labels: Sequence[int] = ()
    blocks_T: Tensor | None = None
    spoken: int = 0


def words_sample(
    plan: Plan, record: Record, picture: Tensor, text: TextTokenizer, rng: random.Random
) -> TaskSample | None:
    """The sample of a record with its picture's codes (h, w); None where the record lacks a value.

    Words to be filled in are masked in the share that the instruction says, a random one without.
    Answers of a closed set are masked whole, captions in a share of cos(pi r / 2), r uniform.
    """
    instruction, target = plan.instruction, plan.target
    values = {
        slot.name: text_of(slot, record, slot.name in instruction.wanted, rng)
        for slot in (*instruction.given.values(), target)
        if slot.kind != IMAGE
    }
    if not all(values.values()):
        return None
    shown = any(slot.kind == IMAGE for slot in instruction.given.values())
    before = text.encode(spoken(plan, values))
    given = instruction.given.get(target.name)
    ids = text.encode(values[target.name])
    if given is None:
        ids = with_end(ids, slots_of(plan), text.end)
    masked = set(masked_places(len(ids), share_of(plan, rng), rng))
    slots = [text.size if place in masked else token for place, token in enumerate(ids)]
    asked = [token if place in masked else -1 for place, token in enumerate(ids)]
    item = TextTarget(before, slots, picture if shown else None).item()
    ended = ids.index(text.end) + 1 if text.end in ids else len(ids)
    return TaskSample(item, [-1] * len(before) + asked, spoken=len(before) + ended)


def share_of(plan: Plan, rng: random.Random) -> float:
    """Share of the target's words to mask."""
    target = plan.target
    if target.value("closed_set") is not None:
        return 1.0
    given = plan.instruction.given.get(target.name)
    said = given.value("mask_ratio") if given is not None else None
    if said is not None:
        return float(said)
    return math.cos(math.pi / 2 * rng.random())


def masked_places(length: int, share: float, rng: random.Random) -> list[int]:
    """Places of so many of the words, one at least."""
    return rng.sample(range(length), min(length, max(1, round(share * length))))
