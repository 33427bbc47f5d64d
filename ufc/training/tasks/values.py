"""What a record of the data gives for a slot of an instruction.

A slot with a closed set is that field of the record; one called like a field is that field, such as
`[TEXT:text_zh]`; any other TEXT is a caption, in the form of `text` where it is to be told.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any

from ufc.tasks.attributes import IMAGE
from ufc.tasks.instruction import Slot
from ufc.tasks.plan import Plan
from ufc.training.conditioning_dropout import captions

Record = Mapping[str, Any]


def text_of(slot: Slot, record: Record, told: bool, rng: random.Random) -> str:
    """The words of a slot for a record; empty where it has none."""
    field = slot.value("closed_set") or (slot.name if slot.name in record else None)
    if field is None and told and "text" in record:
        field = "text"
    if field is not None:
        value = record.get(field)
        return value if isinstance(value, str) else ""
    found = captions(dict(record))
    return rng.choice(found) if found else ""


def closed_sets(plans: Iterable[Plan], records: Iterable[Record]) -> dict[str, list[str]]:
    """The values of each field that a task's answers are of, the commoner first."""
    fields = {plan.target.value("closed_set") for plan in plans if plan.target.kind != IMAGE}
    counts: dict[str, dict[str, int]] = {field: {} for field in sorted(filter(None, fields))}
    for record in records:
        for field, found in counts.items():
            value = record.get(field)
            if isinstance(value, str) and value:
                found[value] = found.get(value, 0) + 1
    return {
        field: sorted(found, key=lambda value: (-found[value], value))
        for field, found in counts.items()
    }
