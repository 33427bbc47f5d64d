"""Pictures that are to reach a score, or several: those that fall short are generated again.

Shapes: B images, S those that fall short, T cells.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ufc.sampling.canvas import Canvas, Refined
from ufc.sampling.loop import OnStep, Predict, Problem, Score

Attempt = Callable[[Predict, Score, Problem, OnStep | None], Refined]


@dataclass(frozen=True)
class Bar:
    """The least scores, 0..1 by name, and after how many attempts the best has to do."""

    least: Mapping[str, float]
    attempts: int

    def margin(self, scores: Mapping[str, Tensor]) -> Tensor:
        """How far each image is above the bar, in the score that is lowest beside it, (B,)."""
        return torch.stack([scores[name] - least for name, least in self.least.items()]).amin(0)


def refine_until(
    attempt: Attempt,
    predict: Predict,
    score: Score,
    problem: Problem,
    bar: Bar,
    on_step: OnStep | None = None,
    time_budget: float | None = None,
    judge: Score | None = None,
) -> Refined:
    """Every image's first attempt that reaches the bar, or the one that comes nearest to it.

    An image goes on with its own generator, so it does not depend on what others need. `on_step`
    sees all images at every step and ends the attempts too by returning True; and so does the end
    of `time_budget`, seconds that all attempts have together. `judge` adds scores to what each
    attempt comes to.
    """
    started, ended = time.monotonic(), False

    def late() -> bool:
        return time_budget is not None and time.monotonic() - started >= time_budget

    def watched(shown: Callable[[Canvas], Canvas], taken: Callable[[Canvas], Tensor]) -> OnStep:
        def watch(step: int, canvas: Canvas) -> bool:
            nonlocal ended
            if on_step is not None:
                whole = shown(canvas)
                ended = on_step(step, whole)
                canvas.codes.copy_(taken(whole))
            ended = ended or late()
            return ended

        return watch

    kept = judged(
        attempt(predict, score, problem, watched(lambda c: c, lambda c: c.codes)),
        judge,
        torch.arange(len(problem.codes_BT)),
    )
    for _ in range(bar.attempts - 1):
        short_S = (bar.margin(kept.canvas.scores) < 0).nonzero().squeeze(1)
        if ended or late() or not len(short_S):
            break
        rows_S = short_S.to(problem.codes_BT.device)
        again = attempt(
            lambda codes_MT, owner_M, ask_MT, of=short_S: predict(  # type: ignore[misc]
                codes_MT, of.to(owner_M.device)[owner_M], ask_MT
            ),
            lambda codes_MT, owner_M, of=short_S: score(  # type: ignore[misc]
                codes_MT, of.to(owner_M.device)[owner_M]
            ),
            replace(
                problem,
                codes_BT=problem.codes_BT[rows_S],
                locked_BT=problem.locked_BT[rows_S],
                generators=[problem.generators[row] for row in short_S.tolist()],
            ),
            watched(
                lambda c, of=short_S: with_rows(kept.canvas, of, c),  # type: ignore[misc]
                lambda c, of=rows_S: c.codes[of],  # type: ignore[misc]
            ),
        )
        again = judged(again, judge, short_S)
        before, now = (bar.margin(r.canvas.scores) for r in (kept, again))
        for at in (now > before[short_S]).nonzero().squeeze(1).tolist():
            row = int(short_S[at])
            kept.canvas = with_rows(
                kept.canvas, torch.tensor([row]), again.canvas.rows(torch.tensor([at]))
            )
            kept.steps[row], kept.curves[row] = again.steps[at], again.curves[at]
    return kept


def judged(refined: Refined, judge: Score | None, owner_B: Tensor) -> Refined:
    """What was refined, of the images `owner_B`, with the scores of a further judge."""
    if judge is not None:
        canvas = refined.canvas
        scores = judge(canvas.codes, owner_B.to(canvas.codes.device))
        images = torch.arange(len(canvas.codes))
        canvas.set_scores(images, {name: value.float().cpu() for name, value in scores.items()})
    return refined


def with_rows(canvas: Canvas, rows_S: Tensor, other: Canvas) -> Canvas:
    """A copy of `canvas` with all of `other` in its place at some images."""
    whole = canvas.clone()
    for name, value in whole.tensors().items():
        value[rows_S.to(value.device)] = other.tensors()[name]
    for name, value in other.scores.items():
        if name in whole.scores:
            whole.scores[name][rows_S] = value
    return whole
