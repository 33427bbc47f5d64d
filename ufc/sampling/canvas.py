"""What the sampler works on: the canvases of a batch, and what came of them.

Shapes: B images, T cells.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

Scores = dict[str, Tensor]  # by estimator, (B,) each, 0..1


@dataclass
class Canvas:
    """State of a batch; tensors (B, T), scores (B,). A callback sees it after each step.

    Attributes:
        codes: int64, V where a cell is masked.
        confidence: of each code, 0..1.
        pending: cells that the last step filled.
        filled_step, filled_candidate: where each code came from, -1 for known ones.
        scores: by estimator; empty before anything was scored.
    """

    codes: Tensor
    confidence: Tensor
    pending: Tensor
    filled_step: Tensor
    filled_candidate: Tensor
    scores: Scores

    def tensors(self) -> dict[str, Tensor]:
        return {name: value for name, value in vars(self).items() if name != "scores"}

    def copy_rows(self, other: Canvas, rows: Tensor) -> None:
        for name, value in self.tensors().items():
            value[rows] = getattr(other, name)[rows]
        for name, value in other.scores.items():
            self.scores.setdefault(name, torch.zeros_like(value))[rows] = value[rows]

    def set_scores(self, rows: Tensor, scores: Mapping[str, Tensor]) -> None:
        """Scores of some images."""
        for name, value in scores.items():
            self.scores.setdefault(name, torch.zeros(len(self.codes)))[rows] = value

    def rows(self, rows: Tensor) -> Canvas:
        """Some images of the batch."""
        parts = {name: value[rows.to(value.device)] for name, value in self.tensors().items()}
        return Canvas(**parts, scores={name: value[rows] for name, value in self.scores.items()})

    def clone(self) -> Canvas:
        parts = {name: value.clone() for name, value in self.tensors().items()}
        return Canvas(**parts, scores={name: v.clone() for name, v in self.scores.items()})


@dataclass
class Refined:
    """The finished canvas of every image, and how it came about.

    A curve has a point a scored step: `step` and the scores by name, without those of judges who
    have nothing to judge there.
    """

    canvas: Canvas
    steps: list[int]
    curves: list[list[dict[str, float]]] = field(default_factory=list)


def blank_canvas(codes_BT: Tensor, locked_BT: Tensor, codes: int) -> Canvas:
    """Everything free is masked; known cells are certain and belong to no step."""
    return Canvas(
        codes=torch.where(locked_BT, codes_BT, codes),
        confidence=locked_BT.float(),
        pending=~locked_BT,
        filled_step=torch.full_like(codes_BT, -1),
        filled_candidate=torch.full_like(codes_BT, -1),
        scores={},
    )


def total_score(scores: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Weighted sum of the scores, as w * compliance + (1 - w) * fidelity is."""
    parts = [weights[name] * value for name, value in scores.items() if name in weights]
    return torch.stack(parts).sum(0)


def curve_point(step: int, canvas: Canvas, image: int) -> dict[str, float]:
    """What is known of an image after a step; NaN, which stands for no score, is left out."""
    scores = {name: float(value[image]) for name, value in canvas.scores.items()}
    return {"step": step} | {name: one for name, one in scores.items() if not math.isnan(one)}
