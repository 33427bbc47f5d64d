"""Drafts of one picture: independent, compared when complete, and no burden to the first."""

from __future__ import annotations

import torch
from test_sampler import TRUTH, Oracle, T, V
from torch import Tensor

from ufc.sampling.best_of import refine_drafts
from ufc.sampling.loop import Canvas, Refined, SamplerConfig


def run(drafts: int, seeds: list[int], seen: list[Tensor] | None = None) -> Refined:
    oracle = Oracle(sharpness=2.0)

    def on_step(step: int, canvas: Canvas) -> bool:
        if seen is not None:
            seen.append(canvas.codes.clone())
        return False

    start = torch.zeros(len(seeds), T, dtype=torch.int64)
    return refine_drafts(
        oracle.predict, oracle.score, start, start.bool(), V,
        SamplerConfig(order="maskgit", steps=4),
        [torch.Generator().manual_seed(seed) for seed in seeds], on_step, drafts=drafts,
    )  # fmt: skip


def right(found: Refined) -> Tensor:
    return (found.canvas.codes == TRUTH).float().mean(1)


def test_more_drafts_never_score_less_and_are_not_alone_in_a_batch() -> None:
    one, four = run(1, [1, 2, 3]), run(4, [1, 2, 3])
    assert (right(four) >= right(one)).all() and (right(four) > right(one)).any()
    assert torch.equal(four.canvas.compliance, right(four))
    assert len(four.steps) == len(four.curves) == 3
    alone = run(4, [2])
    assert torch.equal(alone.canvas.codes[0], four.canvas.codes[1])


def test_the_first_draft_is_what_one_alone_would_be() -> None:
    alone: list[Tensor] = []
    first: list[Tensor] = []
    run(1, [5, 6], alone)
    run(3, [5, 6], first)
    assert all(torch.equal(a, b) for a, b in zip(alone, first, strict=True))
