"""M6's way (Lin et al. 2021): code after code, row by row, as text is generated."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ufc.sampling.orders.base import Order, register_order

if TYPE_CHECKING:
    from ufc.sampling.canvas import Refined


@register_order
class Autoregressive(Order):
    """Each cell once, from those before it. Kept cells that come later are not seen.

    Steps, candidates, patience and the choice of cells mean nothing here: a step is a cell, and no
    canvas is complete before the last one.
    """

    name = "autoregressive"
    summary = "cell by cell, row by row (M6), where the model has learnt it; steps do not count"
    causal = True

    def steps(self, asked: int, cells: int) -> int:
        return cells

    def loop(self) -> Callable[..., Refined]:
        from ufc.sampling.autoregressive import fill_in_raster_order

        return fill_in_raster_order
