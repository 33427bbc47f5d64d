"""Best of N: whole refinements of every image from noise of their own, and the best is kept.

Candidates (`SamplerConfig.candidates`) compete at every step and share what came before; these
differ from the first step on, so they may differ in kind, and are compared when they are complete,
where the estimators know most.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from ufc.sampling.canvas import Canvas, Refined, total_score
from ufc.sampling.config import SamplerConfig
from ufc.sampling.loop import OnStep, Predict, Problem, Score, refine


def refine_best_of(
    predict: Predict,
    score: Score,
    problem: Problem,
    config: SamplerConfig,
    on_step: OnStep | None = None,
    best_of: int = 1,
) -> Refined:
    """`loop.refine` done `best_of` times for every image; the one with the best score is returned.

    The first of them is what `refine` alone would give; it is what `on_step` sees.

    Raises:
        ValueError: fewer than one.
    """
    if best_of < 1:
        raise ValueError(f"best_of is {best_of}, wanted 1 or more")
    if best_of == 1:
        return refine(predict, score, problem, config, on_step)

    def show_first(step: int, canvas: Canvas) -> bool:
        if on_step is None:
            return False
        first = torch.arange(0, len(canvas.codes), best_of)
        shown = canvas.rows(first)
        ended = on_step(step, shown)
        rows = first.to(canvas.codes.device)
        canvas.codes[rows], canvas.confidence[rows] = shown.codes, shown.confidence
        return ended

    refined = refine(
        lambda codes_MT, owner_M, ask_MT: predict(codes_MT, owner_M // best_of, ask_MT),
        lambda codes_MT, owner_M: score(codes_MT, owner_M // best_of),
        replace(
            problem,
            codes_BT=problem.codes_BT.repeat_interleave(best_of, 0),
            locked_BT=problem.locked_BT.repeat_interleave(best_of, 0),
            generators=[g for own in problem.generators for g in own_generators(own, best_of)],
        ),
        config,
        show_first,
    )
    total_BN = total_score(refined.canvas.scores, config.score_weights).view(-1, best_of)
    best = total_BN.argmax(1) + best_of * torch.arange(len(total_BN))
    return Refined(
        refined.canvas.rows(best),
        [refined.steps[row] for row in best.tolist()],
        [refined.curves[row] for row in best.tolist()],
    )


def own_generators(generator: torch.Generator, count: int) -> list[torch.Generator]:
    """The generator itself, and others seeded from a copy of it, which leave it as it is."""
    copy = torch.Generator()
    copy.set_state(generator.get_state())
    seeds = torch.randint(2**62, (count - 1,), generator=copy).tolist()
    return [generator, *(torch.Generator().manual_seed(seed) for seed in seeds)]
