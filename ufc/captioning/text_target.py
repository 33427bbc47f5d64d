"""A text that is to be told: what is said before it, its slots, and the picture it is about.

    words of the instruction | slots | codes of the picture [SEP]

It is a sequence of controls like any other, so that one transformer reads and tells. A slot is a
masked word or a known one. A text that is told from nothing has more slots than it needs, and ends
with the id `TextTokenizer.end`, which the slots behind it hold too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ufc.conditioning.control_item import ControlItem

if TYPE_CHECKING:
    from torch import Tensor

CAPTION_SLOTS = 24
ANSWER_SLOTS = 8


@dataclass(frozen=True)
class TextTarget:
    """`before` is given; `slots` are ids, the mask where one is to be told; `picture` is (h, w)."""

    before: Sequence[int]
    slots: Sequence[int]
    picture: Tensor | None = None

    def item(self, slots: Sequence[int] | None = None) -> ControlItem:
        """The controls, with other ids in the slots if they are given."""
        text = [*self.before, *(self.slots if slots is None else slots)]
        return ControlItem(text, [] if self.picture is None else [self.picture])


def with_end(ids: Sequence[int], slots: int, end: int) -> list[int]:
    """Ids of a text in so many slots, with one end at least: a longer text is cut."""
    kept = list(ids[: slots - 1])
    return kept + [end] * (slots - len(kept))


def without_end(ids: Sequence[int], end: int) -> list[int]:
    """The ids before the first end."""
    kept = list(ids)
    return kept[: kept.index(end)] if end in kept else kept
