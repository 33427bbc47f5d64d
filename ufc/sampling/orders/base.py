"""What an order of filling decides, and the registry that everything finds orders in.

Nothing in this folder needs torch to be imported, so the command line can list orders at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ufc.sampling.canvas import Refined


@dataclass(frozen=True)
class StepView:
    """What an order sees before a step. A images, K candidates, T cells.

    Attributes:
        step: number of the step, from 0.
        steps: how many there are.
        confidence_AT: of the code in each cell, 0..1; 0 where it is masked.
        pending_AT: cells that the step before masked and filled, all free ones before step 0.
        locked_AT: known cells, which no order may touch.
        ranks_AT: what `Order.ranks` returned.
        gumbel_AKT: Gumbel noise, the only chance that an order may use.
        choice_temperature: how much noise is on the choice of cells, at the start.
    """

    step: int
    steps: int
    confidence_AT: Tensor
    pending_AT: Tensor
    locked_AT: Tensor
    ranks_AT: Tensor
    gumbel_AKT: Tensor
    choice_temperature: float

    @property
    def done(self) -> float:
        """Share of the steps that are over, 0..1."""
        return self.step / self.steps


class Order:
    """Which cells a step masks and predicts again.

    To add one, put a file into this folder with a subclass under `@register_order`; the command
    line, the editor, the ablation and the tests of all orders find it by its name.
    """

    name: str
    summary: str
    causal = False  # cell by cell from those before it, which a model must have learnt

    def ratio(self, step: int, steps: int) -> float:
        """Share of the free cells that are masked before step `step`, 0..1; 1 before step 0."""
        raise NotImplementedError

    def keys(self, view: StepView) -> Tensor:
        """Broadcasts to (A, K, T): the eligible cells with the smallest keys are masked."""
        raise NotImplementedError

    def eligible(self, view: StepView) -> Tensor:
        """Cells that may be masked, (A, T) bool: every free one, unless an order says otherwise."""
        return ~view.locked_AT

    def temperature(self, asked: float) -> float:
        """The temperature that codes are sampled at; 0 takes the most likely one."""
        return asked

    def ranks(
        self, grid: tuple[int, int], generators: Sequence[torch.Generator]
    ) -> list[Tensor] | None:
        """Fixed places of the cells in this order, (T,) int64 for each image, if it has such."""
        return None

    def steps(self, asked: int, cells: int) -> int:
        """How many steps there will be at most, for a picture with so many free cells."""
        return asked

    def loop(self) -> Callable[..., Refined] | None:
        """A function to be called in the place of `ufc.sampling.loop.refine`, for an order that
        is no re-masking. None is the common loop."""
        return None


ORDERS: dict[str, Order] = {}
Kind = TypeVar("Kind", bound=type[Order])


def register_order(kind: Kind) -> Kind:
    """Make an order known by its name."""
    ORDERS[kind.name] = kind()
    return kind


def find_order(name: str) -> Order:
    """The order of this name, however it is spelled: `mask_predict` is `mask-predict`.

    Raises:
        ValueError: there is none.
    """
    known = name.lower().replace("_", "-")
    if known not in ORDERS:
        raise ValueError(f"order {name!r} is unknown; choose {', '.join(ORDERS)}")
    return ORDERS[known]
