"""The refinement loop, on a stand-in for the model whose right answer is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ufc.sampling.canvas import Canvas, Scores
from ufc.sampling.config import SamplerConfig
from ufc.sampling.loop import Problem, refine
from ufc.sampling.orders import ORDERS, find_order
from ufc.sampling.orders.halton import halton_ranks
from ufc.sampling.token_sampling import sample_codes

V, T, GRID = 10, 16, (4, 4)
TRUTH = torch.arange(T) % V
REMASKING = [name for name, order in ORDERS.items() if order.loop() is None]


class Oracle:
    """Knows the picture, with a little doubt; counts calls and remembers what it was shown."""

    def __init__(self, sharpness: float = 8.0) -> None:
        self.sharpness = sharpness
        self.seen: list[Tensor] = []
        self.asked: list[Tensor] = []

    def predict(self, codes: Tensor, owner: Tensor, ask: Tensor) -> Tensor:
        self.seen.append(codes.clone())
        self.asked.append(ask.clone())
        logits = torch.zeros(*codes.shape, V)
        logits.scatter_(2, TRUTH.expand_as(codes)[..., None], self.sharpness)
        return logits[ask]

    def score(self, codes: Tensor, owner: Tensor) -> Scores:
        return both((codes == TRUTH).float().mean(1))


def both(value: Tensor) -> Scores:
    return {"compliance": value, "fidelity": value}


def problem(start: Tensor, locked: Tensor, seeds: list[int]) -> Problem:
    return Problem(start, locked, V, [torch.Generator().manual_seed(s) for s in seeds], GRID)


def run(oracle: Oracle, seeds: list[int], locked: Tensor | None = None, **settings):  # type: ignore[no-untyped-def]
    start = torch.full((len(seeds), T), 7)
    locked = torch.zeros_like(start, dtype=torch.bool) if locked is None else locked
    on_step = settings.pop("on_step", None)
    config = SamplerConfig(**settings)
    return refine(oracle.predict, oracle.score, problem(start, locked, seeds), config, on_step)


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_fills_everything(order: str) -> None:
    found = run(Oracle(sharpness=30.0), [0, 1], order=order, steps=6)
    assert torch.equal(found.canvas.codes, TRUTH.expand(2, T))
    assert (found.canvas.filled_step >= 0).all()


@pytest.mark.parametrize("order", REMASKING)
@pytest.mark.parametrize("candidates", [1, 3])
def test_locked_cells_never_change_and_do_not_count(order: str, candidates: int) -> None:
    oracle = Oracle()
    locked = torch.zeros(2, T, dtype=torch.bool)
    locked[0, :10] = True
    found = run(oracle, [0, 1], locked, order=order, steps=4, candidates=candidates)
    assert (found.canvas.codes[0, :10] == 7).all()
    for asked, seen in zip(oracle.asked, oracle.seen, strict=True):
        assert not asked[:candidates, :10].any()
        assert (seen[:candidates, :10] == 7).all()
    assert int(oracle.asked[0][0].sum()) == 6
    assert int(oracle.asked[0][-1].sum()) == T
    expected = int(find_order(order).ratio(2, 4) * 6)
    assert int(oracle.asked[2][0].sum()) == expected


@pytest.mark.parametrize("order", ORDERS)
def test_a_picture_is_the_same_alone_and_in_a_batch(order: str) -> None:
    together = run(Oracle(2.0), [5, 6, 7], order=order, steps=5, candidates=2)
    alone = run(Oracle(2.0), [6], order=order, steps=5, candidates=2)
    assert torch.equal(together.canvas.codes[1], alone.canvas.codes[0])
    assert together.curves[1] == alone.curves[0]


def test_candidates_never_share_state() -> None:
    """Each canvas shown to the model is the chosen one of the last step, with its own holes."""
    oracle = Oracle(0.5)
    kept: list[Tensor] = []
    run(
        oracle, [0], order="pnag", steps=4, candidates=3,
        on_step=lambda step, canvas: bool(kept.append(canvas.codes.clone())),
    )  # fmt: skip
    for step in range(1, 4):
        for k in range(3):
            shown, holes = oracle.seen[step][k], oracle.asked[step][k]
            assert torch.equal(shown[~holes], kept[step - 1][0][~holes])
            assert (shown[holes] == V).all()
    assert not torch.equal(oracle.asked[1][0], oracle.asked[1][1])


@pytest.mark.parametrize(("patience", "returned"), [(None, 3), (3, 1)])
def test_the_last_canvas_is_returned_and_with_patience_the_best(
    patience: int | None, returned: int
) -> None:
    """Scores of coarse, early canvases do not compare well with those of refined ones."""
    oracle = Oracle()
    scores = iter([0.2, 0.9, 0.4, 0.1])
    shown: list[Tensor] = []

    def score(codes: Tensor, owner: Tensor) -> Scores:
        shown.append(codes.clone())
        value = torch.full((len(codes),), next(scores))
        return both(value)

    start = torch.zeros(1, T, dtype=torch.int64)
    config = SamplerConfig(steps=4, candidates=1, patience=patience, score_steps=True)
    found = refine(oracle.predict, score, problem(start, start.bool(), [0]), config)
    curve = [0.2, 0.9, 0.4, 0.1]
    assert torch.equal(found.canvas.codes, shown[returned])
    assert found.canvas.scores["compliance"].item() == pytest.approx(curve[returned])
    assert [round(p["fidelity"], 3) for p in found.curves[0]] == curve


def test_patience_stops_each_image_by_itself() -> None:
    def score(codes: Tensor, owner: Tensor) -> Scores:
        rising = torch.arange(len(score.calls) + 1)[-1] * 0.1  # type: ignore[attr-defined]
        score.calls.append(0)  # type: ignore[attr-defined]
        value = torch.where(owner == 0, 0.5, rising)
        return both(value)

    score.calls = []  # type: ignore[attr-defined]
    start = torch.zeros(2, T, dtype=torch.int64)
    found = refine(
        Oracle().predict, score, problem(start, start.bool(), [0, 1]),
        SamplerConfig(steps=8, patience=2),
    )  # fmt: skip
    assert found.steps == [3, 8]


def test_a_callback_and_a_time_budget_end_the_run() -> None:
    stopped = run(Oracle(), [0], order="maskgit", steps=9, on_step=lambda step, _: step == 2)
    assert stopped.steps == [3]
    hurried = run(Oracle(), [0], order="pnag", steps=9, time_budget=0.0)
    assert hurried.steps == [1]
    assert (hurried.canvas.codes < V).all()


def test_a_stopped_run_has_scores() -> None:
    stopped = run(Oracle(30.0), [0], order="maskgit", steps=9, on_step=lambda step, _: True)
    assert stopped.canvas.scores["fidelity"].item() == pytest.approx(1.0)


def test_a_curve_has_one_point_a_step_whoever_shares_the_batch() -> None:
    """What is all kept is scored at the end, and the others are not scored again."""
    locked = torch.zeros(2, T, dtype=torch.bool)
    locked[1] = True
    found = run(Oracle(2.0), [0, 1], locked, order="pnag", steps=3, score_steps=True)
    assert [[point["step"] for point in curve] for curve in found.curves] == [[0, 1, 2], [0]]
    alone = run(Oracle(2.0), [0], order="pnag", steps=3, score_steps=True)
    assert found.curves[0] == alone.curves[0]


def test_everything_kept_needs_no_step() -> None:
    oracle = Oracle()
    found = run(oracle, [0], torch.ones(1, T, dtype=torch.bool), steps=5)
    assert not oracle.seen
    assert found.steps == [0]
    assert (found.canvas.codes == 7).all()


def test_selection_by_score_beats_one_candidate() -> None:
    def mean_right(candidates: int) -> float:
        found = run(Oracle(2.5), list(range(20)), order="pnag", steps=6, candidates=candidates)
        return (found.canvas.codes == TRUTH).float().mean().item()

    assert mean_right(6) > mean_right(1) + 0.03


def test_draw_follows_the_distribution() -> None:
    logits = torch.tensor([0.1, 0.2, 0.7]).log().expand(20_000, 3)
    uniform = torch.rand(20_000, generator=torch.Generator().manual_seed(0))
    codes, confidence = sample_codes(logits, uniform, 1.0)
    share = torch.bincount(codes) / len(codes)
    torch.testing.assert_close(share, torch.tensor([0.1, 0.2, 0.7]), atol=0.02, rtol=0)
    torch.testing.assert_close(confidence[codes == 2], torch.full((int((codes == 2).sum()),), 0.7))
    assert (sample_codes(logits, uniform, 0.0)[0] == 2).all()


def test_codes_that_look_alike_agree() -> None:
    """Two codes of 0.4 that look the same are a certain look; one of 0.2 apart is not."""
    logits = torch.tensor([[0.4, 0.4, 0.2]]).log()
    alike = torch.tensor([[0, 1], [1, 0], [2, 0]]), torch.tensor([[1.0, 1], [1, 1], [1, 0]])
    first = sample_codes(logits, torch.tensor([0.1]), 1.0, alike)
    last = sample_codes(logits, torch.tensor([0.95]), 1.0, alike)
    assert (int(first[0]), int(last[0])) == (0, 2)
    assert float(first[1]) == pytest.approx(0.8)
    assert float(last[1]) == pytest.approx(0.2)


@pytest.mark.parametrize("order", REMASKING)
def test_schedules_start_with_everything_and_fall(order: str) -> None:
    oracle = Oracle()
    locked = torch.zeros(3, T, dtype=torch.bool)
    locked[1, 5:] = True
    locked[2] = True
    run(oracle, [0, 1, 2], locked, order=order, steps=8)
    counts = torch.stack([asked.sum(1) for asked in oracle.asked])
    assert counts[0].tolist() == [T, 5]  # of the two images that have free cells
    assert (counts[1:] <= counts[:-1]).all() and (counts >= 1).all()


def test_halton_spreads_and_covers() -> None:
    ranks = halton_ranks(8, 8).flatten()
    assert sorted(ranks.tolist()) == list(range(64))
    quadrants = [[0, 0], [0, 0]]
    for n in range(12):
        row, col = divmod(int((ranks == n).nonzero()), 8)
        quadrants[row // 4][col // 4] += 1
    assert all(2 <= count <= 4 for pair in quadrants for count in pair)


def test_canvas_clone_shares_nothing() -> None:
    canvas = Canvas(*(torch.zeros(1, 2) for _ in range(5)), scores={})
    canvas.clone().codes.add_(1)
    assert canvas.codes.sum() == 0


@pytest.mark.parametrize(
    "wrong", [{"order": "spiral"}, {"steps": 0}, {"candidates": 0}, {"temperature": -1.0}]
)
def test_impossible_settings_are_refused(wrong: dict) -> None:  # type: ignore[type-arg]
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SamplerConfig(**wrong)


def test_only_the_likeliest_codes_are_sampled() -> None:
    logits = torch.tensor([0.1, 0.2, 0.3, 0.4]).log().expand(4_000, 4)
    uniform = torch.rand(4_000, generator=torch.Generator().manual_seed(0))
    uniform[0] = 0.0

    def shares(temperature: float = 1.0, **limits: float) -> list[float]:
        codes, _ = sample_codes(logits, uniform, temperature, None, **limits)  # type: ignore[arg-type]
        return [round(float(share), 1) for share in torch.bincount(codes, minlength=4) / len(codes)]

    assert shares() == [0.1, 0.2, 0.3, 0.4]
    assert shares(top_k=2) == shares(top_p=0.6) == [0, 0, 0.4, 0.6]
    assert shares(top_k=1) == shares(top_p=0.0) == shares(0.0, top_k=3) == [0, 0, 0, 1]
    assert shares(top_k=9, top_p=1.0) == shares()
    assert shares(top_k=2, top_p=0.5) == [0, 0, 0, 1]  # of what top-k leaves
    confidence = sample_codes(logits, uniform, 1.0, None, 1)[1]
    assert float(confidence[0]) == pytest.approx(0.4)  # as if nothing were left out
