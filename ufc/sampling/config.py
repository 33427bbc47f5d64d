"""How to refine a canvas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ufc.sampling.orders import Order, find_order


@dataclass(frozen=True)
class SamplerConfig:
    """Settings of the loop.

    Attributes:
        order: name of one of `ufc.sampling.orders`.
        steps: the most refinement steps.
        candidates: canvases tried each step; the best by score goes on.
        temperature: of the codes' distribution; 0 takes the most likely code.
        top_k: sample only this many of the likeliest codes of a cell.
        top_p: sample only the likeliest codes that have this probability together.
        choice_temperature: of the noise on the choice of cells, falling to 0 (maskgit).
        patience: stop an image after this many steps without a better score, and return its best
            canvas; without, the last is returned.
        time_budget: stop after so many seconds.
        score_weights: weight of each estimator in the score that is chosen by.
        score_steps: score every step for its curve, even where nothing is chosen by score.
    """

    order: str = "pnag"
    steps: int = 12
    candidates: int = 1
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    choice_temperature: float = 4.5
    patience: int | None = None
    time_budget: float | None = None
    score_weights: Mapping[str, float] = field(
        default_factory=lambda: {"compliance": 0.5, "fidelity": 0.5}
    )
    score_steps: bool = False

    def __post_init__(self) -> None:
        find_order(self.order)
        for name in ("steps", "candidates", "patience", "top_k"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}, wanted 1 or more")
        if not self.temperature >= 0:
            raise ValueError(f"temperature is {self.temperature}, wanted 0 or more")
        if self.top_p is not None and not 0 <= self.top_p <= 1:
            raise ValueError(f"top_p is {self.top_p}, wanted 0 to 1")
        wrong = {name: w for name, w in self.score_weights.items() if not 0 <= w <= 1}
        if wrong:
            raise ValueError(f"score weights {wrong} are out of range, wanted 0 to 1 each")

    @property
    def rule(self) -> Order:
        """The order itself."""
        return find_order(self.order)

    @property
    def scored(self) -> bool:
        """Whether scores decide on the way: which candidate goes on, or when to stop."""
        return (self.candidates > 1 or self.patience is not None) and not self.rule.causal

    @property
    def watched(self) -> bool:
        """Whether canvases are scored on the way, not only at the end."""
        return (self.scored or self.score_steps) and not self.rule.causal
