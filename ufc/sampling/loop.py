"""Progressive generation: predict, score, re-mask, and again.

One loop serves every order of filling cells:

  pnag          M6-UFC's progressive non-autoregressive generation: any free cell may be revised
  maskgit       an accepted cell stays (Chang et al. 2022)
  mask-predict  the most likely code everywhere, the least sure are redone (Ghazvininejad 2019)
  halton        a fixed low-discrepancy order (Besnier et al. 2025)

The loop knows neither transformer nor estimators; it asks two functions:

  predict(codes_MT, owner_M, ask_MT) -> logits (cells asked for, V), row-major
  score(codes_MT, owner_M)           -> compliance (M,), fidelity (M,), both in 0..1

where `owner_M` says which image of the batch each canvas belongs to. Candidates never share
state, and every image draws from its own generator, so a picture is the same alone or in a batch.

Shapes: B images, A images still at work, K candidates, M = A * K canvases, T cells, V codes.
A masked cell holds V.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ufc.sampling.schedule import RATIOS, halton_ranks, masked_counts

Predict = Callable[[Tensor, Tensor, Tensor], Tensor]
Score = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

# Codes that look alike, (V, n), and how alike they are, 0..1 (V, n); see `draw`.
Alike = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class SamplerConfig:
    """How to refine a canvas.

    Attributes:
        order: one of `pnag`, `maskgit`, `mask-predict`, `halton`.
        steps: the most refinement steps.
        candidates: canvases tried each step; the best by score goes on.
        temperature: of the codes' distribution; 0 takes the most likely code.
        choice_temperature: of the noise on confidences that maskgit chooses by, falling to 0.
        patience: stop an image after this many steps without a better score.
        time_budget: stop after so many seconds.
        compliance_weight: share of compliance in the score, the rest is fidelity.
        score_steps: score every step for its curve, even where nothing is chosen by score.
    """

    order: str = "pnag"
    steps: int = 12
    candidates: int = 1
    temperature: float = 1.0
    choice_temperature: float = 4.5
    patience: int | None = None
    time_budget: float | None = None
    compliance_weight: float = 0.5
    score_steps: bool = False

    def __post_init__(self) -> None:
        if self.order not in RATIOS:
            raise ValueError(f"order {self.order!r} is unknown; choose {', '.join(RATIOS)}")
        for name in ("steps", "candidates", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}, wanted 1 or more")
        if self.temperature < 0:
            raise ValueError(f"temperature is {self.temperature}, wanted 0 or more")
        if not 0 <= self.compliance_weight <= 1:
            raise ValueError(f"compliance_weight is {self.compliance_weight}, wanted 0 to 1")

    @property
    def scored(self) -> bool:
        """Whether canvases are chosen by score on the way."""
        return self.order == "pnag" or self.candidates > 1 or self.patience is not None

    @property
    def watched(self) -> bool:
        """Whether canvases are scored on the way, not only at the end."""
        return self.scored or self.score_steps


@dataclass
class Canvas:
    """State of a batch; all tensors (B, T) or (B,). It is what a callback sees after each step."""

    codes: Tensor
    confidence: Tensor
    pending: Tensor
    filled_step: Tensor
    filled_candidate: Tensor
    compliance: Tensor
    fidelity: Tensor

    def copy_rows(self, other: Canvas, rows: Tensor) -> None:
        for name, value in vars(self).items():
            value[rows] = getattr(other, name)[rows]

    def clone(self) -> Canvas:
        return Canvas(**{name: value.clone() for name, value in vars(self).items()})


@dataclass
class Refined:
    """The best canvas of every image, and how it came about."""

    canvas: Canvas
    steps: list[int]
    curves: list[list[dict[str, float]]] = field(default_factory=list)


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
    codes_BT: Tensor,
    locked_BT: Tensor,
    codes: int,
    config: SamplerConfig,
    generators: Sequence[torch.Generator],
    on_step: Callable[[int, Canvas], bool] | None = None,
    alike: Alike | None = None,
) -> Refined:
    """Fill the free cells of a batch of grids.

    `codes_BT` holds codes at the locked cells; whatever stands elsewhere is replaced. `codes` is
    the codebook size V. `on_step(step, canvas)` is called after every step and ends the run by
    returning True. Locked cells are never touched. With `alike`, confidence counts codes that look
    nearly the same as agreeing.
    """
    started = time.monotonic()
    state = blank_canvas(codes_BT, locked_BT, codes)
    best = state.clone()
    best_score_B = torch.full((len(codes_BT),), -math.inf)
    stale_B = torch.zeros(len(codes_BT), dtype=torch.int64)
    steps_B = torch.zeros(len(codes_BT), dtype=torch.int64)
    curves: list[list[dict[str, float]]] = [[] for _ in generators]
    ranks_BT = order_ranks(config.order, codes_BT, generators)
    at_work = (~locked_BT).any(1).nonzero().squeeze(1).cpu()  # where scores are kept
    for step in range(config.steps):
        if not len(at_work):
            break
        trial = attempt(
            predict, state, locked_BT, ranks_BT, at_work, step, config, generators, codes, alike
        )
        accept(score, state, trial, at_work, step, config)
        steps_B[at_work] = step + 1
        total_B = total_score(state, config)
        better = at_work[(total_B > best_score_B)[at_work] | (not config.scored)]
        best.copy_rows(state, better)
        best_score_B[better] = total_B[better]
        stale_B[at_work] += 1
        stale_B[better] = 0
        if config.watched:
            for image in at_work.tolist():
                curves[image].append(curve_point(step, state, image))
        if on_step is not None and on_step(step, state):
            break
        if config.time_budget is not None and time.monotonic() - started >= config.time_budget:
            break
        if config.patience is not None:
            at_work = at_work[stale_B[at_work] < config.patience]
    left = (steps_B == 0).nonzero().squeeze(1) if config.watched else torch.arange(len(codes_BT))
    if len(left):
        owner_M = left.to(codes_BT.device)
        best.compliance[left], best.fidelity[left] = (
            value.float().cpu() for value in score(best.codes[owner_M], owner_M)
        )
        for image in left.tolist():
            curves[image].append(curve_point(max(0, int(steps_B[image]) - 1), best, image))
    return Refined(best, steps_B.tolist(), curves)


def blank_canvas(codes_BT: Tensor, locked_BT: Tensor, codes: int) -> Canvas:
    """Everything free is masked; locked cells are certain and belong to no step."""
    batch = len(codes_BT)
    return Canvas(
        codes=torch.where(locked_BT, codes_BT, codes),
        confidence=locked_BT.float(),
        pending=~locked_BT,
        filled_step=torch.full_like(codes_BT, -1),
        filled_candidate=torch.full_like(codes_BT, -1),
        compliance=torch.zeros(batch),
        fidelity=torch.zeros(batch),
    )


def attempt(
    predict: Predict,
    state: Canvas,
    locked_BT: Tensor,
    ranks_BT: Tensor,
    at_work: Tensor,
    step: int,
    config: SamplerConfig,
    generators: Sequence[torch.Generator],
    codes: int,
    alike: Alike | None,
) -> Trial:
    """Mask, predict and draw the candidates of one step."""
    candidates, cells = config.candidates, state.codes.shape[1]
    device = state.codes.device
    # One draw of a fixed shape a step and image, so that nothing depends on the rest of the batch.
    noise_AK2T = torch.stack(
        [torch.rand(candidates, 2, cells, generator=generators[i]) for i in at_work.tolist()]
    ).to(device)
    free_A = (~locked_BT[at_work]).sum(1)
    counts_A = masked_counts(config.order, step, config.steps, free_A)
    masked = choose_masked(
        config,
        step / config.steps,
        state.confidence[at_work],
        state.pending[at_work],
        locked_BT[at_work],
        ranks_BT[at_work],
        counts_A,
        noise_AK2T[:, :, 0],
    )
    current = state.codes[at_work, None].expand(-1, candidates, -1)
    blank_MT = torch.where(masked, codes, current).flatten(0, 1)
    owner_M = at_work.to(device).repeat_interleave(candidates)
    ask_MT = masked.flatten(0, 1)
    logits_NV = predict(blank_MT, owner_M, ask_MT)
    temperature = 0.0 if config.order == "mask-predict" else config.temperature
    drawn_N, probability_N = draw(logits_NV, noise_AK2T[:, :, 1][masked], temperature, alike)
    filled, confidence = current.clone(), state.confidence[at_work, None].repeat(1, candidates, 1)
    filled[masked] = drawn_N
    confidence[masked] = probability_N
    return Trial(masked, filled, confidence)


def choose_masked(
    config: SamplerConfig,
    done: float,
    confidence_AT: Tensor,
    pending_AT: Tensor,
    locked_AT: Tensor,
    ranks_AT: Tensor,
    counts_A: Tensor,
    uniform_AKT: Tensor,
) -> Tensor:
    """The cells to redo, `counts_A` of them for every candidate: (A, K, T) bool.

    Cells with the smallest keys are masked; what may not be masked has an infinite key.
    """
    gumbel_AKT = -(-(uniform_AKT.clamp(1e-9, 1 - 1e-7)).log()).log()
    confidence = confidence_AT[:, None].clamp_min(1e-9)
    eligible = ~locked_AT[:, None].expand_as(uniform_AKT)
    if config.order == "pnag":
        # Keep-sets without replacement, in proportion to confidence (Gumbel top-k).
        keys = confidence.log() + gumbel_AKT
    elif config.order == "maskgit":
        keys = confidence.log() + config.choice_temperature * (1 - done) * gumbel_AKT
        eligible = pending_AT[:, None].expand_as(uniform_AKT)
    elif config.order == "mask-predict":
        keys = confidence.log().expand_as(uniform_AKT)
    else:
        keys = -ranks_AT[:, None].float().expand_as(uniform_AKT)
    keys = keys.masked_fill(~eligible, math.inf)
    places = keys.argsort(dim=-1, stable=True).argsort(dim=-1)
    return (places < counts_A[:, None, None]) & eligible


def draw(
    logits_NV: Tensor, uniform_N: Tensor, temperature: float, alike: Alike | None = None
) -> tuple[Tensor, Tensor]:
    """A code for each cell by inverting the distribution at `uniform_N`, and its confidence.

    Confidence is the code's probability at temperature 1, whatever temperature was drawn at.
    A codebook spends many codes on what is common (a white background), and each of them is
    improbable though the look is certain: with `alike` the probabilities of codes that look the
    same are added, as far as they do.
    """
    probabilities = logits_NV.float().softmax(-1)
    if temperature == 0:
        drawn = probabilities.argmax(-1, keepdim=True)
    else:
        tempered = probabilities
        if temperature != 1:
            tempered = (logits_NV.float() / temperature).softmax(-1)
        cumulated = running_sum(tempered)
        target = uniform_N[:, None] * cumulated[:, -1:]
        drawn = torch.searchsorted(cumulated, target).clamp_max(logits_NV.shape[-1] - 1)
    drawn = drawn.squeeze(-1)
    return drawn, confidence_in(drawn, probabilities, alike)


def running_sum(x_NV: Tensor) -> Tensor:
    """Sums up to each code. CUDA has no deterministic way of it that does not take V times the
    memory, so where that is asked for it is done on the CPU."""
    if x_NV.is_cuda and torch.are_deterministic_algorithms_enabled():
        return x_NV.cpu().cumsum(-1).to(x_NV.device)
    return x_NV.cumsum(-1)


def confidence_in(codes_N: Tensor, probabilities_NV: Tensor, alike: Alike | None = None) -> Tensor:
    """Probability of each code, or with `alike` of what looks like it, (N,)."""
    if alike is None:
        return probabilities_NV.gather(-1, codes_N[:, None]).squeeze(-1)
    neighbours, likeness = alike
    confidence = (probabilities_NV.gather(-1, neighbours[codes_N]) * likeness[codes_N]).sum(-1)
    return confidence.clamp_max(1)


def accept(
    score: Score, state: Canvas, trial: Trial, at_work: Tensor, step: int, config: SamplerConfig
) -> None:
    """Take over the best candidate of every image at work."""
    images, candidates = trial.codes.shape[:2]
    picks = torch.zeros(images, dtype=torch.int64)
    if config.watched:
        owner_M = at_work.to(trial.codes.device).repeat_interleave(candidates)
        compliance, fidelity = (
            value.float().cpu().view(images, candidates)
            for value in score(trial.codes.flatten(0, 1), owner_M)
        )
        weight = config.compliance_weight
        picks = (weight * compliance + (1 - weight) * fidelity).argmax(1)
        rows = torch.arange(images)
        state.compliance[at_work] = compliance[rows, picks]
        state.fidelity[at_work] = fidelity[rows, picks]
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


def total_score(state: Canvas, config: SamplerConfig) -> Tensor:
    """w * compliance + (1 - w) * fidelity, (B,)."""
    weight = config.compliance_weight
    return weight * state.compliance + (1 - weight) * state.fidelity


def order_ranks(order: str, codes_BT: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """Fixed places in the order of filling (halton, rolled by each image's own draw), or zeros."""
    if order != "halton":
        return torch.zeros_like(codes_BT)
    side = math.isqrt(codes_BT.shape[1])
    grid = halton_ranks(side, codes_BT.shape[1] // side).view(side, -1)
    rolled = []
    for generator in generators:
        shift = torch.randint(0, side, (2,), generator=generator).tolist()
        rolled.append(grid.roll(shift, dims=(0, 1)).flatten())
    return torch.stack(rolled).to(codes_BT.device)


def curve_point(step: int, state: Canvas, image: int) -> dict[str, float]:
    return {
        "step": step,
        "compliance": float(state.compliance[image]),
        "fidelity": float(state.fidelity[image]),
    }
