"""Pictures that are to reach a compliance are generated again, by themselves, until they do."""

from __future__ import annotations

import time

import pytest
import torch
from torch import Tensor

from ufc.pipeline import UFCPipeline
from ufc.sampling.canvas import Refined
from ufc.sampling.config import SamplerConfig
from ufc.sampling.loop import Problem, Score
from ufc.sampling.selection.attempts import Bar, refine_until
from ufc.sampling.selection.best_of import refine_best_of

CODES, CELLS = 8, 4
CONFIG = SamplerConfig(order="maskgit", steps=2)


def predict(codes_MT: Tensor, owner_M: Tensor, ask_MT: Tensor) -> Tensor:
    return torch.zeros(int(ask_MT.sum()), CODES)


def scored(codes_MT: Tensor, owner_M: Tensor) -> dict[str, Tensor]:
    """Compliance is the share of even codes; owner 1 never complies."""
    compliance = (codes_MT % 2 == 0).float().mean(1) * (owner_M != 1)
    return {"compliance": compliance, "fidelity": torch.ones(len(codes_MT))}


def never(codes_MT: Tensor, owner_M: Tensor) -> dict[str, Tensor]:
    return {name: torch.zeros(len(codes_MT)) for name in ("compliance", "fidelity")}


def problem(images: int, first: int = 0) -> Problem:
    blank = torch.zeros(images, CELLS, dtype=torch.int64)
    generators = [torch.Generator().manual_seed(first + row) for row in range(images)]
    return Problem(blank, torch.zeros_like(blank, dtype=torch.bool), CODES, generators, (2, 2))


def until(images: int, bar: Bar, score: Score = scored, first: int = 0, on_step=None) -> Refined:  # type: ignore[no-untyped-def]
    return refine_until(
        lambda p, s, q, seen: refine_best_of(p, s, q, CONFIG, seen),
        predict, score, problem(images, first), bar, on_step,
    )  # fmt: skip


def test_images_are_generated_until_they_reach_the_bar() -> None:
    found = until(3, Bar({"compliance": 1.0}, 400)).canvas.scores["compliance"]
    assert found[0] == 1 and found[2] == 1 and found[1] == 0


def test_the_best_is_kept_where_none_reaches_it() -> None:
    one = [
        float(until(1, Bar({"compliance": 1.0}, 1), first=s).canvas.scores["compliance"])
        for s in range(8)
    ]
    four = [
        float(until(1, Bar({"compliance": 1.0}, 4), first=s).canvas.scores["compliance"])
        for s in range(8)
    ]
    assert all(b >= a for a, b in zip(one, four, strict=True)) and sum(four) > sum(one)


def test_an_image_does_not_depend_on_what_others_need() -> None:
    together = until(3, Bar({"compliance": 1.0}, 30)).canvas.codes
    alone = until(1, Bar({"compliance": 1.0}, 30)).canvas.codes
    assert torch.equal(together[:1], alone)


def test_a_bar_that_is_reached_at_once_changes_nothing() -> None:
    plain = refine_best_of(predict, scored, problem(2), CONFIG)
    assert torch.equal(until(2, Bar({"compliance": 0.0}, 9)).canvas.codes, plain.canvas.codes)


def test_all_attempts_have_one_budget_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now, steps = 0.0, list[float]()
    monkeypatch.setattr("time.monotonic", lambda: now)

    def slow(codes_MT: Tensor, owner_M: Tensor, ask_MT: Tensor) -> Tensor:
        nonlocal now
        now += 1
        steps.append(now)
        return predict(codes_MT, owner_M, ask_MT)

    for budget, wanted in ((1, 1), (2, 2), (5, 5), (None, 20)):
        now = 0.0
        steps.clear()
        config = SamplerConfig(order="maskgit", steps=2, time_budget=budget)
        found = refine_until(
            lambda p, s, q, seen, c=config: refine_best_of(p, s, q, c, seen),  # type: ignore[misc]
            slow, never, problem(1), Bar({"compliance": 1.0}, 10), None, budget,
        )  # fmt: skip
        assert len(steps) == wanted and (found.canvas.codes < CODES).all()


def test_a_call_has_one_budget_for_its_attempts(pipeline: UFCPipeline) -> None:
    steps: list[int] = []
    started = time.monotonic()
    pipeline(
        "bag", seed=1, num_inference_steps=2, min_compliance=1.0, max_attempts=1_000,
        time_budget=0.05, callback_on_step_end=lambda pipe, step, *_: steps.append(step),
    )  # fmt: skip
    assert time.monotonic() - started < 30 and len(steps) < 2_000


def test_a_callback_sees_all_images_and_ends_the_attempts() -> None:
    seen: list[int] = []

    def on_step(step: int, canvas: object) -> bool:
        seen.append(len(canvas.codes))  # type: ignore[attr-defined]
        return len(seen) == 5

    until(3, Bar({"compliance": 1.0}, 50), on_step=on_step)
    assert seen == [3] * 5


def test_of_several_bars_the_lowest_counts() -> None:
    bar = Bar({"compliance": 0.5, "fidelity": 0.8}, 3)
    scores = {"compliance": torch.tensor([0.9, 0.4]), "fidelity": torch.tensor([0.8, 1.0])}
    assert bar.margin(scores).tolist() == pytest.approx([0.0, -0.1])
    assert float(bar.margin(scores)[0]) == 0  # what is just reached is reached
