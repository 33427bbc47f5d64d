"""MaskGIT (Chang et al. 2022)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ufc.sampling.orders.base import Order, StepView, register_order

if TYPE_CHECKING:
    from torch import Tensor


@register_order
class MaskGIT(Order):
    """The surest of the new cells are accepted, and what is accepted stays."""

    name = "maskgit"
    summary = "the surest cells are accepted first, and stay"

    def ratio(self, step: int, steps: int) -> float:
        return math.cos(math.pi / 2 * step / steps)

    def keys(self, view: StepView) -> Tensor:
        noise = view.choice_temperature * (1 - view.done) * view.gumbel_AKT
        return view.confidence_AT[:, None].clamp_min(1e-9).log() + noise

    def eligible(self, view: StepView) -> Tensor:
        return view.pending_AT
