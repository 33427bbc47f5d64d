"""Whole pictures chosen by any scorer, and generated again until they reach its score."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_pipeline
from PIL import Image
from toy_clip import small_clip
from toy_contrastive import tiny_model

from estimators.metrics.clip_score import load_english
from ufc.cli.main import main
from ufc.contrastive_scorer import ContrastiveEstimator
from ufc.io.prompts_file import read_rows
from ufc.io.validation import RequestError
from ufc.pipeline import UFCPipeline
from ufc.sampling.generation_config import GenerationConfig
from vqgan.perceptual import import_torchvision

STEPS = {"num_inference_steps": 2, "seed": 3}


def redness(pictures: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
    return [float(np.asarray(one)[..., 0].mean()) / 255 for one in pictures]


def test_the_best_of_n_is_the_scorers() -> None:
    pipe, asked = make_pipeline(), list[str]()

    def scorer(pictures: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
        asked.extend(prompts)
        return redness(pictures, prompts)

    chosen = pipe(
        ["red bag", None], best_of=6, compliance_weight=1.0, scorer=scorer,
        reference_images=[[], [Image.new("RGB", (16, 16), "blue")]], **STEPS,
    )  # fmt: skip
    assert asked == ["red bag"] * 6 + [""] * 6  # who has no words is judged all the same
    assert chosen.scores["scorer"] == pytest.approx(redness(chosen.images, ["", ""]), abs=1e-6)
    assert chosen.compliance == pytest.approx(chosen.scores["scorer"], abs=1e-6)
    plain = pipe("red bag", best_of=1, **STEPS)
    assert plain.scores == {} and redness(chosen.images[:1], [""]) >= redness(plain.images, [""])
    half = pipe("red bag", scorer=redness, scorer_weight=0.5, **STEPS)
    own = (plain.compliance[0] + redness(plain.images, [""])[0]) / 2
    assert half.compliance[0] == pytest.approx(own, abs=1e-5)


def test_arrays_and_tensors_are_scores_too() -> None:
    for kind in (np.array, torch.tensor):
        out = make_pipeline()("red bag", scorer=lambda p, t, k=kind: k([0.25] * len(p)), **STEPS)
        assert out.scores["scorer"] == [0.25]


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([0.5, 0.5], "scorer returned 2 scores, wanted 1 numbers from 0 to 1"),
        ([1.5], "scorer returned 1.5, wanted 1 numbers"),
        ([float("nan")], "scorer returned nan"),
        (None, "scorer returned a NoneType"),
    ],
)
def test_what_is_no_score_is_refused(found: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_pipeline()("red bag", scorer=lambda pictures, prompts: found, **STEPS)


def test_pictures_are_generated_until_they_reach_a_score() -> None:
    pipe = make_pipeline()
    seen: list[float] = []

    def scorer(pictures: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
        found = redness(pictures, prompts)
        seen.extend(found)
        return found

    asked = {"scorer": scorer, "scorer_weight": 0.0, "max_attempts": 5, **STEPS}
    short = pipe("red bag", min_score={"scorer": 1.0}, **asked)
    assert len(seen) == 5 and short.scores["scorer"][0] == pytest.approx(max(seen), abs=1e-6)
    assert "min_score scorer 1 was wanted" in short.notices[0][-1]
    seen.clear()
    reached = pipe("red bag", min_score="scorer=0.01, fidelity=0", **asked)
    assert len(seen) == 1 and reached.notices == [[]]


def test_scores_that_nobody_gives_are_refused_before_anything_is_generated() -> None:
    pipe = make_pipeline()
    for settings, message in (
        (
            {"min_score": "taste=0.5"},
            "no score 'taste' here; wanted one of compliance, fidelity, contrastive$",
        ),
        ({"min_score": "scorer=0.5"}, "no score 'scorer' here"),
        ({"min_score": "clip=0.5"}, "min_score: no CLIP is here; .*--clip-checkpoint"),
        ({"clip_weight": 0.5}, "clip_weight: no CLIP is here"),
        ({"scorer": redness, "contrastive_weight": 0.5}, "wanted 1 at most"),
        ({"scorer": redness, "scorer_weight": 2.0}, "scorer_weight is 2.0, wanted 0 to 1"),
    ):
        with pytest.raises(ValueError, match=message):
            pipe("red bag", **settings, **STEPS)
    with pytest.raises(RequestError, match="contrastive judges pictures by their words"):
        pipe(reference_images=[Image.new("RGB", (16, 16))], min_score="contrastive=0.5", **STEPS)


def test_judges_are_refused_before_a_command_generates(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import_torchvision()
    monkeypatch.chdir(tmp_path)
    name, checkpoint = small_clip(tmp_path)
    fixed = ["generate", "--model", str(model), "--prompts-file", "p.jsonl", "--output-dir", "out"]
    fixed += ["--clip-model", name, "--clip-checkpoint", str(checkpoint)]
    Image.new("RGB", (16, 16)).save("bag.png")
    words, none = '{"prompt": "red bag"}\n', '{"reference_images": ["bag.png"]}\n'
    for lines, flags, message in (
        (words, ["--contrastive-weight", ".6", "--clip-weight", ".6"], "wanted 1 at most"),
        (words + none, ["--min-score", "clip=0.1"], "clip judges pictures"),
        (words, ["--min-score", "scorer=0.1"], "fidelity, contrastive, clip"),
    ):
        Path("p.jsonl").write_text(lines)
        assert main([*fixed, *flags]) == 2
        assert message in capsys.readouterr().err
        assert not Path("out").exists()


def test_judges_who_choose_nothing_see_finished_pictures_alone() -> None:
    pipe, asked = make_pipeline(), list[int]()

    def scorer(pictures: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
        asked.append(len(pictures))
        return redness(pictures, prompts)

    told = {"scorer": scorer, "scorer_weight": 0.0, "num_candidates": 3, **STEPS}
    out = pipe(["red bag", "bag"], **told)
    assert asked == [2]
    assert out.scores["scorer"] == pytest.approx(redness(out.images, ["", ""]), abs=1e-6)
    assert "scorer" not in out.curves[0][-1]
    again = make_pipeline().to(deterministic=True)(["red bag", "bag"], **told)
    assert asked == [2, 1, 1] and len(again.scores["scorer"]) == 2


def test_curves_have_no_score_where_there_are_no_words() -> None:
    pipe = make_pipeline()
    pipe.contrastive = ContrastiveEstimator(tiny_model(pipe.text.size), pipe.text)
    out = pipe(
        ["red bag", None], contrastive_weight=0.5, num_candidates=2,
        reference_images=[[], [Image.new("RGB", (16, 16))]], **STEPS,
    )  # fmt: skip
    assert ["contrastive" in curve[0] for curve in out.curves] == [True, False]
    assert out.scores["contrastive"][1] is None


@pytest.mark.parametrize(
    ("other", "named"), [("0.99", "min_score compliance 0.99"), ("0.1", "min_compliance 0.98")]
)
def test_the_higher_of_two_bars_is_named(other: str, named: str) -> None:
    asked = {"min_compliance": 0.98, "min_score": f"compliance={other}", "max_attempts": 1}
    out = make_pipeline()("red bag", **asked, **STEPS)
    assert f"{named} was wanted" in out.notices[0][-1]


@pytest.mark.parametrize("value", ["tea", "clip", "clip=", "clip=2", "clip=nan", "a=.1,a=.2", 0.5])
def test_least_scores_have_one_form(value: object) -> None:
    with pytest.raises(RequestError, match=r"min_score: got .*wanted scores from 0 to 1, such as"):
        GenerationConfig(min_score=value)


def test_least_scores_may_be_a_mapping_and_are_written_as_text(tmp_path: Path) -> None:
    for value in ({"clip": 0.6, "fidelity": 0}, "clip=.60, fidelity=0.0"):
        assert GenerationConfig(min_score=value).explicit() == {"min_score": "clip=0.6,fidelity=0"}
    file = tmp_path / "p.jsonl"
    file.write_text('{"prompt": "a", "min_score": "fidelity=0.5", "clip_weight": 0.25}\n')
    assert read_rows(file)[0].request.min_score == "fidelity=0.5"


def test_the_reranker_may_only_tell(pipeline: UFCPipeline) -> None:
    pipe = make_pipeline()
    pipe.contrastive = ContrastiveEstimator(tiny_model(pipe.text.size), pipe.text)
    out = pipe("red bag", min_score="contrastive=0", **STEPS)
    assert out.compliance == pipe("red bag", **STEPS).compliance
    assert 0 <= out.scores["contrastive"][0] <= 1  # type: ignore[operator]


def test_clip_chooses(tmp_path: Path) -> None:
    import_torchvision()
    name, checkpoint = small_clip(tmp_path)
    pipe = make_pipeline()
    pipe.clip = load_english(name, str(checkpoint))
    out = pipe("red bag", clip_weight=1.0, compliance_weight=1.0, best_of=4, **STEPS)
    cosine = pipe.clip.scores(out.images, ["red bag"])[0] / 100
    assert out.scores["clip"] == pytest.approx([min(1.0, 2.5 * cosine)], abs=1e-5)
    assert out.compliance == pytest.approx(out.scores["clip"])
    alone = pipe("red bag", best_of=1, **STEPS)
    assert cosine >= pipe.clip.scores(alone.images, ["red bag"])[0] / 100


def test_clip_is_taken_to_the_pipelines_device(tmp_path: Path) -> None:
    import_torchvision()
    name, checkpoint = small_clip(tmp_path)
    pipe = make_pipeline()
    pipe.clip = load_english(name, str(checkpoint))
    pipe.device = torch.device("meta")  # no memory is needed there
    pipe.rerankers(["red bag"], GenerationConfig(clip_weight=0.5))
    assert {one.device.type for one in pipe.clip.network.parameters()} == {"meta"}


def test_clip_from_the_command_line(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fixed = ["generate", "--model", str(model), "--prompt", "red bag", "--seed", "1"]
    fixed += ["--num-inference-steps", "2", "--output-dir", "out"]
    assert main([*fixed, "--clip-weight", "0.5"]) == 2
    assert "--clip-checkpoint" in capsys.readouterr().err
    assert not Path("out").exists()
    import_torchvision()
    name, checkpoint = small_clip(tmp_path)
    clip = ["--clip-model", name, "--clip-checkpoint", str(checkpoint), "--clip-weight", "0.5"]
    assert main([*fixed, *clip, "--min-score", "clip=0,fidelity=0"]) == 0
    assert " clip 0." in capsys.readouterr().out
    (line,) = (row for row in read_rows("out/manifest.jsonl"))
    assert line.result is not None and line.result.scores is not None
    assert 0 <= line.result.scores["clip"] <= 1  # type: ignore[operator]
    told = str(line.result.backend)
    assert name in told and str(tmp_path) not in told
