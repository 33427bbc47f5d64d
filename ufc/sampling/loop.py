"""Progressive generation: predict, score, re-mask, and again.

One loop serves every order of filling (`ufc.sampling.orders`) but those that bring their own
(`Order.loop`). It knows neither transformer nor estimators; it asks two functions:

  predict(codes_MT, owner_M, ask_MT) -> logits (cells asked for, V), row-major; or of several
                                        codebooks `token_sampling.Cells`
  score(codes_MT, owner_M)           -> by estimator, 0..1: {"compliance": (M,), ...}

where `owner_M` says which image of the batch each canvas belongs to. Candidates never share
state, and every image samples from its own generator, so it does not depend on its batch.

Shapes: B images, A images still at work, K candidates, M = A * K canvases, T cells, V codes.
A masked cell holds V.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ufc.sampling.canvas import Canvas, Refined, Scores, blank_canvas, curve_point, total_score
from ufc.sampling.config import SamplerConfig
from ufc.sampling.orders import Order, StepView
from ufc.sampling.token_sampling import Alike, Prediction, sample_codes

Predict = Callable[[Tensor, Tensor, Tensor], Prediction]
Score = Callable[[Tensor, Tensor], Scores]
OnStep = Callable[[int, Canvas], bool]


@dataclass(frozen=True)
class Problem:
    """What is to be filled: known codes, which cells are locked, the grid, chance.

    Attributes:
        codes_BT: int64, codes at the locked cells; whatever stands elsewhere is replaced.
        locked_BT: known cells; they are never touched, and counted out of every schedule.
        codes: size V of the codebook, V ** codebooks of several: a cell's code is the joint one.
        generators: a CPU generator for each image.
        grid: (rows, columns) of the T cells, row-major.
        alike: codes that look nearly the same, counted as agreeing in confidence.
    """

    codes_BT: Tensor
    locked_BT: Tensor
    codes: int
    generators: Sequence[torch.Generator]
    grid: tuple[int, int]
    alike: Alike | None = None


@dataclass
class Trial:
    """K candidate canvases of each image at work, (A, K, T)."""

    masked: Tensor
    codes: Tensor
    confidence: Tensor


@torch.no_grad()
def refine(
    predict: Predict,
    score: Score,
    problem: Problem,
    config: SamplerConfig,
    on_step: OnStep | None = None,
) -> Refined:
    """Fill the free cells of a batch of grids.

    `on_step(step, canvas)` is called after every step and ends the run by returning True. Codes
    that it changes are gone on with; their scores are those of the codes before.
    """
    own_loop = config.rule.loop()
    if own_loop is not None:
        return own_loop(predict, score, problem, config, on_step)
    started = time.monotonic()
    images, device = len(problem.codes_BT), problem.codes_BT.device
    state = blank_canvas(problem.codes_BT, problem.locked_BT, problem.codes)
    best = state.clone()
    best_score_B = torch.full((images,), -math.inf)
    stale_B = torch.zeros(images, dtype=torch.int64)
    steps_B = torch.zeros(images, dtype=torch.int64)
    curves: list[list[dict[str, float]]] = [[] for _ in range(images)]
    ranks = config.rule.ranks(problem.grid, problem.generators)
    ranks_BT = torch.stack(ranks or list(torch.zeros_like(problem.codes_BT))).to(device)
    at_work = (~problem.locked_BT).any(1).nonzero().squeeze(1).cpu()  # where scores are kept
    for step in range(config.steps):
        if not len(at_work):
            break
        trial = attempt(predict, problem, state, ranks_BT, at_work, step, config)
        accept(score, state, trial, at_work, step, config)
        steps_B[at_work] = step + 1
        ended = on_step is not None and on_step(step, state)  # may have put codes of its own
        better = at_work
        if config.patience is not None:  # else the last: scores of steps do not compare well
            total_B = total_score(state.scores, config.score_weights)
            better = at_work[(total_B > best_score_B)[at_work]]
            best_score_B[better] = total_B[better]
        best.copy_rows(state, better)
        stale_B[at_work] += 1
        stale_B[better] = 0
        if config.watched:
            for image in at_work.tolist():
                curves[image].append(curve_point(step, state, image))
        if ended:
            break
        if config.time_budget is not None and time.monotonic() - started >= config.time_budget:
            break
        if config.patience is not None:
            at_work = at_work[stale_B[at_work] < config.patience]
    unscored = (steps_B == 0).nonzero().squeeze(1) if config.watched else torch.arange(images)
    if len(unscored):
        owner_M = unscored.to(device)
        scores = score(best.codes[owner_M], owner_M)
        best.set_scores(unscored, {name: value.float().cpu() for name, value in scores.items()})
        for image in unscored.tolist():
            curves[image].append(curve_point(max(0, int(steps_B[image]) - 1), best, image))
    return Refined(best, steps_B.tolist(), curves)


def attempt(
    predict: Predict,
    problem: Problem,
    state: Canvas,
    ranks_BT: Tensor,
    at_work: Tensor,
    step: int,
    config: SamplerConfig,
) -> Trial:
    """Mask, predict and sample the candidates of one step."""
    candidates, cells = config.candidates, state.codes.shape[1]
    device = state.codes.device
    # Noise of a fixed shape a step and image, so that nothing depends on the rest of the batch.
    shape, own = (candidates, 2, cells), [problem.generators[image] for image in at_work.tolist()]
    noise_AK2T = torch.stack([torch.rand(shape, generator=one) for one in own]).to(device)
    view = StepView(
        step=step,
        steps=config.steps,
        confidence_AT=state.confidence[at_work],
        pending_AT=state.pending[at_work],
        locked_AT=problem.locked_BT[at_work],
        ranks_AT=ranks_BT[at_work],
        gumbel_AKT=-(-(noise_AK2T[:, :, 0].clamp(1e-9, 1 - 1e-7)).log()).log(),
        choice_temperature=config.choice_temperature,
    )
    masked = choose_masked(config.rule, view)
    current = state.codes[at_work, None].expand(-1, candidates, -1)
    blank_MT = torch.where(masked, problem.codes, current).flatten(0, 1)
    owner_M = at_work.to(device).repeat_interleave(candidates)
    prediction = predict(blank_MT, owner_M, masked.flatten(0, 1))
    temperature = config.rule.temperature(config.temperature)
    uniform_N = noise_AK2T[:, :, 1][masked]
    sampled_N, probability_N = sample_codes(
        prediction, uniform_N, temperature, problem.alike, config.top_k, config.top_p
    )
    filled, confidence = current.clone(), state.confidence[at_work, None].repeat(1, candidates, 1)
    filled[masked] = sampled_N
    confidence[masked] = probability_N
    return Trial(masked, filled, confidence)


def choose_masked(order: Order, view: StepView) -> Tensor:
    """The cells to predict again, as many for every candidate as the order says: (A, K, T) bool."""
    shape = view.gumbel_AKT.shape
    eligible = order.eligible(view)[:, None].expand(shape)
    keys = order.keys(view).expand(shape).masked_fill(~eligible, math.inf)
    counts_A = masked_counts(order, view)
    places = keys.argsort(dim=-1, stable=True).argsort(dim=-1)
    return (places < counts_A[:, None, None]) & eligible


def masked_counts(order: Order, view: StepView) -> Tensor:
    """Cells to mask before the step, (A,) int64: a share of the free ones, 1 at least."""
    free_A = (~view.locked_AT).sum(1)
    counts_A = (order.ratio(view.step, view.steps) * free_A.double()).floor().long()
    return torch.minimum(counts_A.clamp_min(1), free_A)


def accept(
    score: Score, state: Canvas, trial: Trial, at_work: Tensor, step: int, config: SamplerConfig
) -> None:
    """Take over the best candidate of every image at work."""
    images, candidates = trial.codes.shape[:2]
    picks = torch.zeros(images, dtype=torch.int64)
    if config.watched:
        owner_M = at_work.to(trial.codes.device).repeat_interleave(candidates)
        scores = {
            name: value.float().cpu().view(images, candidates)
            for name, value in score(trial.codes.flatten(0, 1), owner_M).items()
        }
        picks = total_score(scores, config.score_weights).argmax(1)
        rows = torch.arange(images)
        state.set_scores(at_work, {name: value[rows, picks] for name, value in scores.items()})
    rows = torch.arange(images, device=trial.codes.device)
    chosen = picks.to(trial.codes.device)
    masked = trial.masked[rows, chosen]
    state.codes[at_work] = trial.codes[rows, chosen]
    state.confidence[at_work] = trial.confidence[rows, chosen]
    state.pending[at_work] = masked
    state.filled_step[at_work] = torch.where(masked, step, state.filled_step[at_work])
    state.filled_candidate[at_work] = torch.where(
        masked, chosen[:, None], state.filled_candidate[at_work]
    )
