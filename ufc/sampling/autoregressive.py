"""Generating cell by cell: the loop, and what it asks a transformer.

A step samples one cell in every image that has it free, from the codes before it, which are
sampled or known. Known cells that come later have not been seen when a cell is sampled: that is
what raster order costs in editing.

Everything else is as in the common loop: the same two functions are asked, noise is of a fixed
shape for each image, and what an image gets does not depend on its batch.

Shapes: B images, M canvases, T cells, N cells asked for, V codes.
"""

from __future__ import annotations

import time

import torch
from torch import Tensor

from ufc.model.causal import CausalCache
from ufc.model.code_head import prediction
from ufc.model.prefix_cache import Prefix, join
from ufc.model.transformer import UFCTransformer
from ufc.sampling.canvas import Canvas, Refined, blank_canvas, curve_point
from ufc.sampling.config import SamplerConfig
from ufc.sampling.loop import OnStep, Predict, Problem, Score
from ufc.sampling.token_sampling import Prediction, sample_codes


@torch.no_grad()
def fill_in_raster_order(
    predict: Predict,
    score: Score,
    problem: Problem,
    config: SamplerConfig,
    on_step: OnStep | None = None,
) -> Refined:
    """Fill the free cells of a batch of grids, one after another; `loop.refine` says the rest.

    Where `on_step` or the time budget ends the run, all cells that are left are predicted at once,
    as if they were masked, so that the picture is whole.
    """
    started = time.monotonic()
    device, cells = problem.codes_BT.device, problem.codes_BT.shape[1]
    state = blank_canvas(problem.codes_BT, problem.locked_BT, problem.codes)
    noise = [torch.rand(cells, generator=own) for own in problem.generators]
    uniform_BT = torch.stack(noise).to(device)
    free_BT = ~problem.locked_BT
    for step, cell in enumerate(free_BT.any(0).nonzero().squeeze(1).tolist()):
        ask_BT = torch.zeros_like(free_BT)
        ask_BT[:, cell] = free_BT[:, cell]
        fill(predict, problem, state, ask_BT, uniform_BT, config)
        stopped = on_step is not None and on_step(step, state)
        late = config.time_budget is not None and time.monotonic() - started >= config.time_budget
        if stopped or late:
            break
    left_BT = state.codes == problem.codes
    if bool(left_BT.any()):
        fill(predict, problem, state, left_BT, uniform_BT, config)
    images = torch.arange(len(state.codes))
    scores = score(state.codes, images.to(device))
    state.set_scores(images, {name: value.float().cpu() for name, value in scores.items()})
    steps = (state.filled_step.amax(1) + 1).tolist()
    curves = [[curve_point(max(0, count - 1), state, image)] for image, count in enumerate(steps)]
    return Refined(state, steps, curves)


def fill(
    predict: Predict,
    problem: Problem,
    state: Canvas,
    ask_BT: Tensor,
    uniform_BT: Tensor,
    config: SamplerConfig,
) -> None:
    """Predict and sample some cells; in each image they belong to its next step."""
    owner_B = torch.arange(len(ask_BT), device=ask_BT.device)
    codes_N, confidence_N = sample_codes(
        predict(state.codes, owner_B, ask_BT),
        uniform_BT[ask_BT],
        config.rule.temperature(config.temperature),
        problem.alike,
        config.top_k,
        config.top_p,
    )
    step_BT = (state.filled_step.amax(1, keepdim=True) + 1).expand_as(ask_BT)
    state.codes[ask_BT] = codes_N
    state.confidence[ask_BT] = confidence_N
    state.filled_step[ask_BT] = step_BT[ask_BT]
    state.filled_candidate[ask_BT] = 0
    state.pending = ask_BT


def make_causal_predict(
    model: UFCTransformer,
    prefix: Prefix,
    negative: Prefix | None,
    guidance_scale: float,
    grid: tuple[int, int],
    together: Predict,
) -> Predict:
    """Logits of one cell of each canvas from the cells before it, guided as in `make_predict`.

    Keys and values of the cells so far are kept, so a call runs only what stands between its cell
    and the last call's; a call for an earlier cell, for other owners, or after codes that have
    changed since, begins anew. Both branches of guidance are one batch. Where several cells are
    asked for, `together` predicts them, as masked ones.
    """
    guided = negative is not None and guidance_scale != 1
    images = len(prefix.lengths)
    both = join(prefix, negative) if guided and negative is not None else prefix
    owners: list[int] = []
    cache: CausalCache | None = None
    seen_MT = torch.empty(0)  # the codes that the cache is of

    def predict(codes_MT: Tensor, owner_M: Tensor, ask_MT: Tensor) -> Prediction:
        nonlocal owners, cache, seen_MT
        asked = ask_MT.any(0).nonzero().squeeze(1).tolist()
        if len(asked) > 1:
            return together(codes_MT, owner_M, ask_MT)
        cell = asked[0]
        known = (
            cache is not None
            and owner_M.tolist() == owners
            and cache.cells <= cell
            and torch.equal(seen_MT, codes_MT[:, : seen_MT.shape[1]])
        )
        if cache is None or not known:
            owners = owner_M.tolist()
            rows = torch.cat([owner_M, owner_M + images]) if guided else owner_M
            cache = model.causal_cache(both.take(rows), codes_MT.shape[1])
        codes = torch.cat([codes_MT, codes_MT]) if guided else codes_MT
        hidden_MD = model.next_hidden(codes, cell, cache, grid)
        seen_MT = codes_MT[:, :cell].clone()
        if guided:
            half = len(hidden_MD) // 2
            hidden_MD = torch.lerp(hidden_MD[half:], hidden_MD[:half], guidance_scale)
        return prediction(model.code_states(hidden_MD[ask_MT[:, cell]]))

    return predict
