"""Which attributes a slot may have: by its kind and its side, each with what its value may be."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

LEFT, RIGHT = "left", "right"  # of the arrow
TEXT, IMAGE, BOX, CATEGORY = "TEXT", "IMAGE", "BOX", "CATEGORY"
AUTOREGRESSIVE = "autoregressive"  # the order that has a training objective of its own

# A value is checked by a function that returns what was wanted, or None where it is right. The
# value is None where an attribute stands without "=".
Check = Callable[[str | None], str | None]


@dataclass(frozen=True)
class AttributeRule:
    """An attribute: who may have it, its values, and whether training alone uses it."""

    key: str
    kinds: tuple[str, ...]
    sides: tuple[str, ...]
    check: Check
    meaning: str
    training_only: bool = False


def share(value: str | None) -> str | None:
    """A number above 0 and not above 1."""
    try:
        number = math.nan if value is None or not value.isascii() else float(value)
    except ValueError:
        number = math.nan
    return None if 0 < number <= 1 else "a number above 0 and up to 1, such as 0.3"


def share_or_nothing(value: str | None) -> str | None:
    """A share, or no value: then the trainer chooses one for each sample."""
    return None if value is None else share(value)


def whole_number(value: str | None) -> str | None:
    """A whole number from 1 to 999999."""
    if value is not None and re.fullmatch(r"[1-9][0-9]{0,5}", value):
        return None
    return "a whole number from 1, such as 24"


def name_of_a_set(value: str | None) -> str | None:
    """The name of a closed set: a field of the data's attribute table."""
    if value is not None and re.fullmatch(r"[_A-Za-z0-9-]+", value):
        return None
    return "the name of a closed set, such as type, colour, gender or usage"


def no_value(value: str | None) -> str | None:
    return None if value is None else "no value: leave out what follows ="


def order_name(value: str | None) -> str | None:
    """An order of filling that there is."""
    from ufc.sampling.orders import ORDERS

    return None if value in ORDERS else "one of " + ", ".join(ORDERS)


RULES = (
    AttributeRule(
        "mask_ratio",
        (TEXT, IMAGE),
        (LEFT,),
        share_or_nothing,
        "share of its words or blocks that training masks",
        training_only=True,
    ),
    AttributeRule(
        "noise_ratio",
        (TEXT, IMAGE),
        (LEFT,),
        share,
        "share of its words or blocks that training replaces by random ones",
        training_only=True,
    ),
    AttributeRule(
        "use_mask", (IMAGE,), (LEFT,), no_value, "the base image, of which a mask keeps parts"
    ),
    AttributeRule("max_length", (TEXT,), (RIGHT,), whole_number, "the most tokens it may have"),
    AttributeRule("closed_set", (TEXT, CATEGORY), (RIGHT,), name_of_a_set, "the answers there are"),
    AttributeRule("order", (IMAGE,), (RIGHT,), order_name, "how its blocks are filled"),
)


def rules_for(kind: str, side: str) -> dict[str, AttributeRule]:
    """The attributes of a kind of slot on one side, by name."""
    return {rule.key: rule for rule in RULES if kind in rule.kinds and side in rule.sides}


def places_of(key: str) -> Iterable[str]:
    """Where an attribute may stand, such as "TEXT left of ->"."""
    for rule in RULES:
        if rule.key == key:
            yield from (f"{kind} {side} of ->" for kind in rule.kinds for side in rule.sides)
