"""Pictures the model generated while it was trained: what fidelity has to tell from real ones.

Generating one costs as much as many training steps, so each is kept for a while and shown again.
They are generated as for a user (both orders, guidance, all steps), and some are taken from the
middle of a refinement, since those are the canvases that the estimators choose among.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ufc.conditioning.sequence import ControlItem
from ufc.model.transformer import UFCTransformer
from ufc.sampling.canvas import Canvas
from ufc.sampling.config import SamplerConfig
from ufc.sampling.generate import generate_tokens, last_is_best
from ufc.sampling.loop import Problem
from ufc.sampling.token_sampling import Alike
from ufc.training.codes.cache import dtype_of


class ReplayBuffer:
    """The latest `capacity` generated canvases (T,) with the controls of each."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.codes: list[Tensor] = []
        self.items: list[ControlItem] = []

    def add(self, codes_BT: Tensor, items: Sequence[ControlItem]) -> None:
        dtype = dtype_of(max(2**31, int(codes_BT.max()) + 1))
        self.codes = [*self.codes, *codes_BT.to(dtype).cpu()][-self.capacity :]
        self.items = [*self.items, *items][-self.capacity :]

    def sample(self, count: int, generator: torch.Generator) -> tuple[Tensor, list[ControlItem]]:
        """`count` of them, with replacement: codes (count, T) int64 and their controls."""
        picks = torch.randint(len(self.codes), (count,), generator=generator).tolist()
        return torch.stack([self.codes[i].long() for i in picks]), [self.items[i] for i in picks]

    def state_dict(self) -> dict[str, Any]:
        return {
            "codes": self.codes,
            "items": [
                (list(item.text), list(item.references), list(item.weights)) for item in self.items
            ],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.codes = list(state["codes"])
        self.items = [ControlItem(*parts) for parts in state["items"]]


@torch.no_grad()
def generate_canvases(
    model: UFCTransformer,
    items: Sequence[ControlItem],
    alike: Alike | None,
    generator: torch.Generator,
) -> Tensor:
    """A canvas for each item, (B, T): the last of a refinement, or for every third call an
    earlier one with all its cells filled."""

    def chance(share: float) -> bool:
        return float(torch.rand((), generator=generator)) < share

    steps = int(torch.randint(6, 13, (), generator=generator))
    scale = 2 + 2 * float(torch.rand((), generator=generator))
    order = "pnag" if chance(0.5) else "maskgit"
    last = steps - 1
    if chance(1 / 3):
        last = int(torch.randint(1, steps, (), generator=generator))
    device = model.embedding.weight.device
    grid = model.config.grid_size
    start = torch.zeros(len(items), grid[0] * grid[1], dtype=torch.int64, device=device)
    seeds = torch.randint(2**31, (len(items),), generator=generator).tolist()
    seen: list[Tensor] = []

    def on_step(step: int, canvas: Canvas) -> bool:
        if step == last:
            seen.append(canvas.codes.clone())
        return bool(seen)

    generate_tokens(
        model,
        items,
        None,
        Problem(
            codes_BT=start,
            locked_BT=torch.zeros_like(start, dtype=torch.bool),
            codes=model.config.codes,
            generators=[torch.Generator().manual_seed(seed) for seed in seeds],
            grid=grid,
            alike=alike,
        ),
        SamplerConfig(order=order, steps=steps),
        guidance_scale=scale,
        rescore=lambda score: last_is_best(),
        on_step=on_step,
    )
    return seen[0]
