"""The control tokens of one sample, before they are laid out as a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # requests and help texts do not wait for torch
    from torch import Tensor


@dataclass(frozen=True)
class ControlItem:
    """The controls of one sample: text ids (may be empty) and reference grids of codes (h, w).

    `weights` says how strongly each reference is looked at; 1 is as trained. `embedded` has
    vectors (n, D) of text, each with the place of its first; the ids there say nothing.
    """

    text: Sequence[int] = ()
    references: Sequence[Tensor] = ()
    weights: Sequence[float] = ()
    embedded: Sequence[tuple[int, Tensor]] = ()

    @property
    def empty(self) -> bool:
        return not len(self.text) and not self.references


def join_items(parts: Sequence[ControlItem]) -> ControlItem:
    """The controls of several as one: words behind words, references behind references."""
    weights = [weight for part in parts for weight in part.weights or [1.0] * len(part.references)]
    text: list[int] = []
    embedded: list[tuple[int, Tensor]] = []
    for part in parts:
        embedded += [(len(text) + place, vectors_TD) for place, vectors_TD in part.embedded]
        text += part.text
    references = [codes_HW for part in parts for codes_HW in part.references]
    return ControlItem(text, references, weights, embedded)


def embedded_words(vectors_TD: Tensor) -> ControlItem:
    """Words that are given as vectors (T, D); rows of zeros at the end are none."""
    said = vectors_TD.detach().abs().amax(1).nonzero()
    count = int(said[-1]) + 1 if len(said) else 0
    return ControlItem([0] * count, embedded=[(0, vectors_TD[:count])] if count else [])
