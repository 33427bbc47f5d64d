"""Progressive non-autoregressive generation, M6-UFC's own order (Zhang et al. 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ufc.sampling.orders.base import Order, StepView, register_order

if TYPE_CHECKING:
    from torch import Tensor

MOST, LEAST = 0.9, 0.1  # shares masked before the second and the last step


@register_order
class PNAG(Order):
    """Any free cell may be revised; cells are kept in proportion to confidence."""

    name = "pnag"
    summary = "any free cell may be revised; of several candidates the best by score goes on"

    def ratio(self, step: int, steps: int) -> float:
        return 1.0 if step == 0 else MOST + (LEAST - MOST) * step / max(1, steps - 1)

    def keys(self, view: StepView) -> Tensor:
        # Keep-sets without replacement (Gumbel top-k).
        return view.confidence_AT[:, None].clamp_min(1e-9).log() + view.gumbel_AKT
