"""Codes under conditioning: the one composition of transformer, guidance, estimators and loop.

The pipeline, training's replay buffer, evaluation and benchmarks all generate through here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ufc.conditioning.sequence import ControlItem
from ufc.model.transformer import UFCTransformer
from ufc.sampling.apart import join_predicts, join_scores, one_by_one
from ufc.sampling.autoregressive import make_causal_predict
from ufc.sampling.canvas import Refined, Scores
from ufc.sampling.config import SamplerConfig
from ufc.sampling.guidance import make_predict, make_prefix, make_score
from ufc.sampling.loop import OnStep, Predict, Problem, Score
from ufc.sampling.selection.attempts import Bar, judged, refine_until
from ufc.sampling.selection.best_of import refine_best_of


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
    bar: Bar | None = None,
    apart: bool = False,
    rescore: Callable[[Score], Score] | None = None,
    judge_finished: Score | None = None,
    on_step: OnStep | None = None,
) -> Refined:
    """Fill the free cells of `problem` under the conditioning of each image.

    Args:
        items: conditioning of each image of the batch.
        negatives: that of guidance's other branch, a negative prompt or nothing; None is nothing.
        guidance_scale: g in l_u + g (l_c - l_u); at 1 the other branch is not run.
        best_of: whole refinements an image, the best by score is returned.
        bar: an image is generated again until it reaches this; see `refine_until`.
        apart: give every image forward passes of its own; see `ufc.sampling.apart`.
        rescore: turns the model's own scores into those that are chosen by.
        judge_finished: further scores, of finished canvases alone: a `bar` may ask for them.
        on_step: see `loop.refine`.

    Raises:
        ValueError: an autoregressive order, and the model has not learnt it.
    """
    if config.rule.causal:
        model.check_autoregressive()
    negatives = [ControlItem()] * len(items) if negatives is None else negatives
    if apart:
        rows = [
            ask_model(model, [item], [negative], guidance_scale, problem.grid, config.rule.causal)
            for item, negative in zip(items, negatives, strict=True)
        ]
        predict = join_predicts([predict for predict, _ in rows])
        score = join_scores([score for _, score in rows])
    else:
        predict, score = ask_model(
            model, items, negatives, guidance_scale, problem.grid, config.rule.causal
        )
    if rescore is not None:
        score = one_by_one(rescore(score)) if apart else rescore(score)
    judge = one_by_one(judge_finished) if apart and judge_finished else judge_finished

    def attempt(
        predict: Predict, score: Score, problem: Problem, on_step: OnStep | None
    ) -> Refined:
        return refine_best_of(predict, score, problem, config, on_step, best_of)

    if bar is None:
        images = torch.arange(len(problem.codes_BT))
        return judged(attempt(predict, score, problem, on_step), judge, images)
    return refine_until(attempt, predict, score, problem, bar, on_step, config.time_budget, judge)


def ask_model(
    model: UFCTransformer,
    items: Sequence[ControlItem],
    negatives: Sequence[ControlItem],
    guidance_scale: float,
    grid: tuple[int, int],
    causal: bool = False,
) -> tuple[Predict, Score]:
    """The sampler's two functions for a batch; its controls are run here.

    With `causal` one cell of each canvas may be asked for, and is told from those before it.
    """
    empty = all(
        item.empty and negative.empty for item, negative in zip(items, negatives, strict=True)
    )
    # In lockstep others may have controls, and their passes are everybody's.
    guided = guidance_scale != 1 and (model.lockstep or not empty)
    prefix = make_prefix(model, items)
    negative = make_prefix(model, negatives) if guided else None
    predict = make_predict(model, prefix, negative, guidance_scale, grid)
    if causal:
        predict = make_causal_predict(model, prefix, negative, guidance_scale, grid, predict)
    return predict, make_score(model, prefix, grid)


def last_is_best() -> Score:
    """Scores without estimators: all candidates are equal, every step is better than before."""
    calls = 0

    def score(codes_MT: Tensor, owner_M: Tensor) -> Scores:
        nonlocal calls
        calls += 1
        value = torch.full((len(codes_MT),), calls * 1e-6, device=codes_MT.device)
        return {"compliance": value, "fidelity": value}

    return score
