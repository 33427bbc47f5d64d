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

    `weights` says how strongly each reference is looked at; 1 is as trained.
    """

    text: Sequence[int] = ()
    references: Sequence[Tensor] = ()
    weights: Sequence[float] = ()

    @property
    def empty(self) -> bool:
        return not len(self.text) and not self.references


def join_items(parts: Sequence[ControlItem]) -> ControlItem:
    """The controls of several as one: words behind words, references behind references."""
    weights = [weight for part in parts for weight in part.weights or [1.0] * len(part.references)]
    return ControlItem(
        [token for part in parts for token in part.text],
        [codes_HW for part in parts for codes_HW in part.references],
        weights,
    )
