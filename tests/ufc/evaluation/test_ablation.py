"""Sets generated to be measured, the ablation's rows and page, and the estimator report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_pipeline
from PIL import Image
from torch import Tensor, nn
from toy_contrastive import tiny_model

from estimators.metrics.extractors import make_extractor
from estimators.metrics.extractors.measuring import Measuring
from ufc.contrastive_scorer import ContrastiveEstimator
from ufc.evaluation import generated_sets
from ufc.evaluation.ablation import QUESTIONS, run_ablation, table, variants, verdict, write_results
from ufc.evaluation.generated_sets import Plan, generate_set, kept_set, pictures_of
from ufc.evaluation.judges import Judges
from ufc.evaluation.scores import estimator_report, estimator_table, exchanged, held_out
from ufc.pipeline import UFCPipeline

CAPTIONS = ["men's blue shirt", "women's red bag", "男士黑色手表", "women's red bag"] * 3


def distance(x: Tensor, y: Tensor) -> Tensor:
    return (x - y).abs().flatten(1).mean(1)


def real_pictures(count: int = len(CAPTIONS)) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [
        Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)) for _ in range(count)
    ]


@pytest.fixture(scope="module")
def judges(pipeline: UFCPipeline) -> Judges:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU())
    measuring = Measuring(make_extractor("tiny", layers, (1,), 16), pipeline.resolution)
    blank = Judges(
        measuring,
        np.zeros((0, 4), np.float32),
        np.zeros((0, 4), np.float32),
        ContrastiveEstimator(tiny_model(pipeline.text.size), pipeline.text),
        distance,
    )
    real = blank.features(real_pictures())
    return replace(blank, training=real, real=real)


def test_passes_are_counted_as_they_are_run(pipeline: UFCPipeline) -> None:
    def passes(**settings: object) -> float:
        settings = {"num_inference_steps": 4, "guidance_scale": 3.0} | settings
        return generate_set(pipeline, CAPTIONS[:3], Plan.of(**settings)).passes

    assert passes(order="maskgit") == 8
    assert passes(order="maskgit", guidance_scale=1.0) == 4
    assert passes(order="pnag", num_candidates=2) == 4 + 3 * 2 * 3
    assert passes(order="pnag", estimators=False) == 8
    assert passes(order="maskgit", best_of=2) == 2 + 3 * 2 * 2 + 2


def test_rows_have_equal_passes_but_where_they_say_otherwise(pipeline: UFCPipeline) -> None:
    rows = {row.name: row for row in variants(10, 2, 3.0)}
    found = {
        name: generate_set(pipeline, CAPTIONS[:2], row.plan).passes for name, row in rows.items()
    }
    # Candidates that come out equal are scored and predicted once, which saves a pass now and then.
    assert all(9 <= found[name] <= 10 for name in found if not rows[name].note)
    assert found["one-shot"] == 2
    assert found["PNAG, no estimators, few steps"] == 4
    assert found["PNAG, both, dynamic stop"] <= 10
    assert 7 <= found["MaskGIT, best of several"] <= 10
    assert {after for after, _, _ in QUESTIONS} | {b for _, b, _ in QUESTIONS} <= set(rows)
    with pytest.raises(ValueError, match="wanted 10 or more"):
        variants(9, 2, 3.0)


def test_without_estimators_the_last_canvas_is_the_result(pipeline: UFCPipeline) -> None:
    plan = Plan.of(order="maskgit", num_inference_steps=3, guidance_scale=1.0)
    last = generate_set(pipeline, CAPTIONS[:2], replace(plan, estimators=False))
    assert torch.equal(last.codes_NT, generate_set(pipeline, CAPTIONS[:2], plan).codes_NT)
    unscored = generate_set(
        pipeline, CAPTIONS[:2], Plan.of(order="pnag", num_inference_steps=3, estimators=False)
    )
    assert (unscored.codes_NT < pipeline.transformer.config.codes).all()
    assert unscored.steps == 3


def test_a_set_does_not_depend_on_its_batches(pipeline: UFCPipeline) -> None:
    plan = Plan.of(num_images_per_prompt=2, seed=5, num_inference_steps=3)
    whole = generate_set(pipeline, CAPTIONS[:3], plan)
    assert torch.equal(
        generate_set(pipeline, CAPTIONS[:3], plan, batch_size=2).codes_NT, whole.codes_NT
    )
    assert len(whole.codes_NT) == len(pictures_of(pipeline, whole.codes_NT)) == 6
    assert not torch.equal(whole.codes_NT[0], whole.codes_NT[1])


def test_the_key_of_a_set_says_all_that_it_depends_on(pipeline: UFCPipeline) -> None:
    open_plan = Plan.of(num_inference_steps=2)
    plan = open_plan.resolved(pipeline.defaults)
    warmer = Plan.of(num_inference_steps=2).resolved(
        pipeline.defaults | {"choice_temperature": 9.0}
    )
    key = generated_sets.key_of(pipeline, CAPTIONS, plan)
    assert generated_sets.key_of(pipeline, CAPTIONS, warmer) != key
    other = make_pipeline(control_attention="full")  # the same weights, put to another use
    assert generated_sets.key_of(other, CAPTIONS, plan)["model"] != key["model"]
    open_ones = {name for name, value in key["plan"].items() if value is None}
    assert open_ones <= {"patience", "height", "width", "strength", "min_compliance"}


def test_a_set_is_kept_by_what_made_it(pipeline: UFCPipeline, tmp_path: Path) -> None:
    calls = []

    def generate() -> generated_sets.GeneratedSet:
        calls.append(1)
        return generate_set(pipeline, CAPTIONS[:2], Plan.of(num_inference_steps=2))

    first = kept_set(tmp_path, {"a": 1}, generate)
    again = kept_set(tmp_path, {"a": 1}, generate)
    kept_set(tmp_path, {"a": 2}, generate)
    assert len(calls) == 2
    assert torch.equal(again.codes_NT, first.codes_NT)
    assert (again.passes, again.seconds, again.recipe) == (
        first.passes,
        first.seconds,
        first.recipe,
    )


def test_the_ablation_resumes_and_writes_table_page_and_plot(
    pipeline: UFCPipeline, judges: Judges, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = variants(10, 2, 3.0)
    found, comparisons = run_ablation(pipeline, judges, CAPTIONS, rows, tmp_path / "cache")
    assert [row["name"] for row in found] == [row.name for row in rows]
    assert all(row["fd"] >= 0 and 0 <= row["r_precision"] <= 1 for row in found)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("generated again")

    monkeypatch.setattr("ufc.evaluation.generated_sets.generate_set", never)
    again, _ = run_ablation(pipeline, judges, CAPTIONS, rows, tmp_path / "cache")
    assert again == found
    about = {
        "pictures": len(CAPTIONS), "model": "tiny", "model_hash": "0", "passes": 10,
        "passes_a_prediction": 2, "guidance_scale": 3.0, "candidates": 2, "training_pictures": 12,
        "recipe": "r", "contrastive": "c", "r_precision_of_real": 0.5,
    }  # fmt: skip
    write_results(tmp_path / "docs", found, comparisons, about)
    page = (tmp_path / "docs" / "ablation.md").read_text(encoding="utf-8")
    assert table(found) in page
    assert all(verdict(comparison) in page for comparison in comparisons)
    data = json.loads((tmp_path / "docs" / "ablation.json").read_text(encoding="utf-8"))
    assert data["rows"] == found
    assert (tmp_path / "docs" / "ablation.png").stat().st_size > 1000


def test_the_estimator_report_has_every_figure(
    pipeline: UFCPipeline, judges: Judges, tmp_path: Path
) -> None:
    real = held_out(pipeline, real_pictures(), CAPTIONS)
    report = estimator_report(pipeline, judges, real, choices=3, folder=tmp_path)
    assert 0 <= report["compliance_auc"] <= 1
    assert 0 <= report["fidelity_auc"] <= 1
    for name in ("compliance", "fidelity"):
        assert sum(point["count"] for point in report["calibration"][name]["curve"]) >= 24
    assert set(report["choosing"]) == {"compliance", "fidelity", "both", "contrastive"}
    chosen = report["choosing"]["both"]
    assert chosen["r_precision"]["low"] <= chosen["r_precision"]["mean"]
    assert chosen["fd_change"] == pytest.approx(chosen["fd"] - chosen["fd_of_first"])
    json.dumps(report)
    assert "| best of 3 by |" in estimator_table(report)


def test_exchanged_captions_always_read_differently() -> None:
    assert all(a != b for a, b in zip(CAPTIONS, exchanged(CAPTIONS, 0), strict=True))
    with pytest.raises(ValueError, match="two different"):
        exchanged(["a", "a"], 0)
