"""Codes under conditioning: the one composition of transformer, guidance, estimators and loop.

The pipeline, training's replay buffer, evaluation and benchmarks all generate through here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ufc.conditioning.sequence import ControlItem
from ufc.model.transformer import UFCTransformer
from ufc.sampling.best_of import refine_best_of
from ufc.sampling.canvas import Refined, Scores
from ufc.sampling.config import SamplerConfig
from ufc.sampling.guidance import make_predict, make_prefix, make_score
from ufc.sampling.loop import OnStep, Problem, Score


@torch.no_grad()
def generate_tokens(
    model: UFCTransformer,
    items: Sequence[ControlItem],
    negatives: Sequence[ControlItem] | None,
    problem: Problem,
    config: SamplerConfig,
    *,
    guidance_scale: float = 1.0,
    best_of: int = 1,
    rescore: Callable[[Score], Score] | None = None,
    on_step: OnStep | None = None,
) -> Refined:
    """Fill the free cells of `problem` under the conditioning of each image.

    Args:
        items: conditioning of each image of the batch.
        negatives: that of guidance's other branch, a negative prompt or nothing; None is nothing.
        guidance_scale: g in l_u + g (l_c - l_u); at 1 the other branch is not run.
        best_of: whole refinements an image, the best by score is returned.
        rescore: turns the model's own scores into those that are chosen by.
        on_step: see `loop.refine`.
    """
    negatives = [ControlItem()] * len(items) if negatives is None else negatives
    guided = guidance_scale != 1 and not all(
        item.empty and negative.empty for item, negative in zip(items, negatives, strict=True)
    )
    prefix = make_prefix(model, items)
    negative = make_prefix(model, negatives) if guided else None
    score = make_score(model, prefix, problem.grid)
    return refine_best_of(
        make_predict(model, prefix, negative, guidance_scale, problem.grid),
        score if rescore is None else rescore(score),
        problem,
        config,
        on_step,
        best_of,
    )


def last_is_best() -> Score:
    """Scores without estimators: all candidates are equal, every step is better than before."""
    calls = 0

    def score(codes_MT: Tensor, owner_M: Tensor) -> Scores:
        nonlocal calls
        calls += 1
        value = torch.full((len(codes_MT),), calls * 1e-6, device=codes_MT.device)
        return {"compliance": value, "fidelity": value}

    return score
