"""Mask-Predict (Ghazvininejad et al. 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ufc.sampling.orders.base import Order, StepView, register_order

if TYPE_CHECKING:
    from torch import Tensor


@register_order
class MaskPredict(Order):
    """The most likely code everywhere; the least sure cells are predicted again."""

    name = "mask-predict"
    summary = "the most likely code everywhere, the least sure cells again"

    def ratio(self, step: int, steps: int) -> float:
        return 1 - step / steps

    def keys(self, view: StepView) -> Tensor:
        return view.confidence_AT[:, None].clamp_min(1e-9).log()

    def temperature(self, asked: float) -> float:
        return 0.0
