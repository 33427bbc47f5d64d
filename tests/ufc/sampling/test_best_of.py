"""Refinements of one picture: independent, compared when complete, and no burden to the first."""

from __future__ import annotations

import torch
from test_sampler import TRUTH, Oracle, T, problem
from torch import Tensor

from ufc.sampling.canvas import Canvas, Refined
from ufc.sampling.config import SamplerConfig
from ufc.sampling.selection.best_of import refine_best_of


def run(best_of: int, seeds: list[int], seen: list[Tensor] | None = None) -> Refined:
    oracle = Oracle(sharpness=2.0)

    def on_step(step: int, canvas: Canvas) -> bool:
        if seen is not None:
            seen.append(canvas.codes.clone())
        return False

    start = torch.zeros(len(seeds), T, dtype=torch.int64)
    return refine_best_of(
        oracle.predict, oracle.score, problem(start, start.bool(), seeds),
        SamplerConfig(order="maskgit", steps=4), on_step, best_of,
    )  # fmt: skip


def right(found: Refined) -> Tensor:
    return (found.canvas.codes == TRUTH).float().mean(1)


def test_more_of_them_never_score_less_and_are_not_alone_in_a_batch() -> None:
    one, four = run(1, [1, 2, 3]), run(4, [1, 2, 3])
    assert (right(four) >= right(one)).all() and (right(four) > right(one)).any()
    assert torch.equal(four.canvas.scores["compliance"], right(four))
    assert len(four.steps) == len(four.curves) == 3
    alone = run(4, [2])
    assert torch.equal(alone.canvas.codes[0], four.canvas.codes[1])


def test_the_first_is_what_one_alone_would_be() -> None:
    alone: list[Tensor] = []
    first: list[Tensor] = []
    run(1, [5, 6], alone)
    run(3, [5, 6], first)
    assert all(torch.equal(a, b) for a, b in zip(alone, first, strict=True))
