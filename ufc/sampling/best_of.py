"""Several drafts of every picture from noise of their own, and the best by score is kept.

Candidates (`SamplerConfig.candidates`) compete at every step and share what came before; drafts
differ from the first step on, so they may differ in kind, and are compared when they are complete,
where the estimators know most.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ufc.sampling.loop import (
    Alike,
    Canvas,
    Predict,
    Refined,
    SamplerConfig,
    Score,
    refine,
    total_score,
)


def refine_drafts(
    predict: Predict,
    score: Score,
    codes_BT: Tensor,
    locked_BT: Tensor,
    codes: int,
    config: SamplerConfig,
    generators: Sequence[torch.Generator],
    on_step: Callable[[int, Canvas], bool] | None = None,
    alike: Alike | None = None,
    *,
    drafts: int = 1,
) -> Refined:
    """`loop.refine` with so many drafts an image, of which the best by total score is returned.

    The first draft is what `refine` alone would give; it is what `on_step` sees.

    Raises:
        ValueError: fewer than one draft.
    """
    if drafts < 1:
        raise ValueError(f"num_drafts is {drafts}, wanted 1 or more")
    if drafts == 1:
        return refine(
            predict, score, codes_BT, locked_BT, codes, config, generators, on_step, alike
        )

    def show_first(step: int, canvas: Canvas) -> bool:
        first = torch.arange(0, len(canvas.codes), drafts)
        return on_step is not None and on_step(step, rows_of(canvas, first))

    refined = refine(
        lambda codes_MT, owner_M, ask_MT: predict(codes_MT, owner_M // drafts, ask_MT),
        lambda codes_MT, owner_M: score(codes_MT, owner_M // drafts),
        codes_BT.repeat_interleave(drafts, 0),
        locked_BT.repeat_interleave(drafts, 0),
        codes,
        config,
        [own for generator in generators for own in draft_generators(generator, drafts)],
        show_first,
        alike,
    )
    total_BD = total_score(refined.canvas, config).view(-1, drafts)
    best = total_BD.argmax(1) + drafts * torch.arange(len(total_BD))
    return Refined(
        rows_of(refined.canvas, best),
        [refined.steps[row] for row in best.tolist()],
        [refined.curves[row] for row in best.tolist()],
    )


def draft_generators(generator: torch.Generator, drafts: int) -> list[torch.Generator]:
    """The generator itself, and others seeded from a copy of it, which leave it as it is."""
    copy = torch.Generator()
    copy.set_state(generator.get_state())
    seeds = torch.randint(2**62, (drafts - 1,), generator=copy).tolist()
    return [generator, *(torch.Generator().manual_seed(seed) for seed in seeds)]


def rows_of(canvas: Canvas, rows: Tensor) -> Canvas:
    """Some images of a batch."""
    return Canvas(**{name: value[rows.to(value.device)] for name, value in vars(canvas).items()})
