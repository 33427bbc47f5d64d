"""`ufc evaluate` from the command line, the subsets of controls, and the report's page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_ablation import distance
from toy_clip import small_clip
from toy_contrastive import tiny_model
from toy_data import write_folder

import ufc.cli.main as cli
from estimators.metrics.clip_score import ClipScorer
from estimators.metrics.sets.picture_set import RECIPE, open_set
from ufc.contrastive_scorer import ContrastiveEstimator
from ufc.evaluation.controls import kept_half, reference_figures, subsets
from ufc.evaluation.distances import halves
from ufc.evaluation.memory import nearest
from ufc.evaluation.report import to_html
from ufc.pipeline import UFCPipeline
from ufc.sampling.generation_config import REQUEST_SETTINGS
from ufc_base.data.datasets import DataError
from vqgan.perceptual import import_torchvision

EXTRACTOR = "toy_extractor:tiny_extractor"


@pytest.fixture
def place(tmp_path: Path, pipeline: UFCPipeline, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with data, a model, towers; LPIPS replaced by a distance without weights."""
    write_folder(tmp_path / "data", 8)
    pipeline.save_pretrained(tmp_path / "model")
    index = tmp_path / "model" / "model_index.json"
    index.write_text(
        index.read_text().replace('"num_inference_steps": 12', '"num_inference_steps": 2')
    )
    towers = ContrastiveEstimator(tiny_model(pipeline.text.size), pipeline.text)
    towers.save_pretrained(tmp_path / "towers")
    monkeypatch.setattr("ufc.evaluation.context.lpips_model", lambda net: distance)
    monkeypatch.setattr("estimators.metrics.lpips_diversity.lpips_model", lambda net: distance)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def evaluate(*arguments: str) -> int:
    return cli.main(
        [
            "evaluate",
            *arguments,
            "--extractor",
            EXTRACTOR,
            "--contrastive",
            "towers",
            "--cache-dir",
            "c",
        ]
    )


def printed(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_two_folders(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate("data", "--real", "data", "--json") == 0
    found = printed(capsys)
    assert found["fid"] == pytest.approx(0, abs=1e-6)
    assert (found["precision"], found["recall"]) == (1, 1)
    for name in ("recipe", "extractor_weights", "resize", "format", "pictures", "seed", "sampler"):
        assert name in found
    assert (
        evaluate(
            "data", "--real", "data", "--lpips", "--r-precision", "--save-stats", "s.npz", "--fid"
        )
        == 0
    )
    assert "lpips_diversity" in capsys.readouterr().out
    assert evaluate("data", "--real", "s.npz", "--fid", "--json") == 0
    assert printed(capsys)["fid"] == pytest.approx(0, abs=1e-6)


def test_a_model_and_a_data_set(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate("model", "--real", "data", "--r-precision", "--fid", "--json") == 0
    found = printed(capsys)
    assert found["pictures"] == 8
    assert found["sampler"]["order"] == "maskgit"  # type: ignore[index]


def test_what_generate_wrote_is_read_by_its_manifest(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = '{"prompt": "red bag", "seed": 1}\n{"prompt": "blue shirt", "seed": 2}\n'
    (place / "p.jsonl").write_text(rows)
    drawn = ["--prompts-file", "p.jsonl", "--output-dir", "drawn", "--grid", "--quiet"]
    assert cli.main(["generate", "--model", "model", *drawn]) == 0
    capsys.readouterr()
    found = open_set("drawn")
    assert len(found.samples) == 2  # grid.png is not one of them
    assert sorted(found.captions("text")) == ["blue shirt", "red bag"]
    assert found.recipe["seed"] == "1 to 2"
    with pytest.raises(DataError, match="--caption-column"):
        open_set("drawn").captions("nothing")


def test_clip_works_on_the_device_of_the_command(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_torchvision()
    name, checkpoint = small_clip(place)
    asked: list[str] = []
    monkeypatch.setattr(ClipScorer, "to", lambda self, device: asked.append(str(device)) or self)
    chosen = ["--clip-model", name, "--clip-checkpoint", str(checkpoint), "--device", "cpu:0"]
    assert evaluate("data", "--clip-score", *chosen, "--quiet") == 0
    assert asked == ["cpu:0"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["data", "--kid"], "give them by --real"),
        (["data", "--real", "nowhere"], "there is no data"),
        (["data", "--real", "data", "--isc"], "has no classes"),
        (["data", "--real", "s.npz", "--prc"], "which only FID can use"),
        (["data", "--real", "data", "--save-stats", "no/s.npz"], "in a folder that exists"),
        (["data", "--lpips", "--save-stats", "s.npz"], "give them by --real"),
        (["data", "--real", "data", "--input-size", "64"], "leave --input-size out"),
        (["plain", "--r-precision"], "3 of 3 pictures have no 'text'"),
        (["data", "--clip-score"], "--clip-checkpoint"),
        (["data", "--real", "data", "--limit", "1"], "--limit"),
        (["data", "--model", "model"], "No such option: --model"),
        (["distances"], "--train-data-dir"),
    ],
)
def test_bad_input_is_one_line(
    place: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    (write_folder(place / "plain", 3) / "metadata.jsonl").unlink()
    assert evaluate(*arguments) == 2
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert words in said


@pytest.mark.parametrize(("flag", "fit"), [([], "(stretch)"), (["--fit", "crop"], "(crop)")])
def test_real_pictures_get_their_shape_as_the_model_learnt(
    place: Path, capsys: pytest.CaptureFixture[str], flag: list[str], fit: str
) -> None:
    file = place / "model" / "tokenizer" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"fit": "stretch"}))
    data = ["--model", "model", "--real", "data", "--train-data-dir", "data", *flag]
    assert evaluate("distances", *data, "--json", "--quiet") == 0
    about = printed(capsys)["about"]
    assert isinstance(about, dict) and fit in about["recipe"]


def test_every_form_of_a_model(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--model", "model", "--real", "data", "--train-data-dir", "data", "--output-dir", "out"]
    for form, own in (("distances", []), ("estimators", ["--choices", "3"]), ("controls", [])):
        assert evaluate(form, *data, *own, "--json", "--quiet") == 0
        assert "about" in printed(capsys)
        assert (place / "out" / f"{form}.json").is_file()
    controls = json.loads((place / "out" / "controls.json").read_text())["subsets"]
    assert len(controls) == 8
    assert all(row["exact_pixels"] == 1 for row in controls if "kept" in row["controls"])
    assert all(row["exact_pixels"] < 1 for row in controls if "kept" not in row["controls"])
    distances = json.loads((place / "out" / "distances.json").read_text())["distances"]
    assert list(distances) == [
        "two real halves", "held-out real pictures", "reconstructions", "generated pictures",
    ]  # fmt: skip
    assert evaluate("report", *data, "--choices", "3", "--quiet") == 0
    page = (place / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 4  # best, median, worst, calibration
    assert 'src="http' not in page and "<script" not in page
    assert "<table>" in page


def test_another_half_is_kept_and_another_order_fills(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--model", "model", "--real", "data", "--train-data-dir", "data", "--limit", "4"]
    asked = ["controls", *data, "--kept", "left", "--order", "mask_predict", "--quiet"]
    assert evaluate(*asked, "--json") == 0
    found = printed(capsys)
    assert (found["captions"], found["kept"], found["order"]) == (4, "left", "mask-predict")
    rows: Any = found["subsets"]
    assert [row["exact_pixels"] == 1 for row in rows] == ["kept" in row["controls"] for row in rows]
    assert rows[0]["halves_agree_of_real"] == 1
    assert all(0 <= row["halves_agree"] <= 1 for row in rows)
    assert evaluate(*asked) == 0
    assert "halves agree" in capsys.readouterr().out
    for flags, words in ((["--order", "tea"], "order: got"), (["--kept", "middle"], "--kept")):
        assert evaluate("controls", *data, *flags) == 2
        assert words in capsys.readouterr().err
    assert evaluate("controls", *data, "--order", "autoregressive") == 2
    assert "autoregressive" in capsys.readouterr().err


def test_each_side_has_the_half_of_its_name() -> None:
    sums = {
        side: (half.sum(1).tolist(), half.sum(0).tolist())
        for side in ("top", "bottom", "left", "right")
        for half in [kept_half((4, 3), side)]  # type: ignore[arg-type]
    }
    assert sums == {
        "top": ([3, 3, 0, 0], [2, 2, 2]), "bottom": ([0, 0, 3, 3], [2, 2, 2]),
        "left": ([1, 1, 1, 1], [4, 0, 0]), "right": ([1, 1, 1, 1], [0, 0, 4]),
    }  # fmt: skip


def test_subsets_are_all_of_them() -> None:
    assert len(subsets()) == len(set(subsets())) == 8
    assert subsets()[0] == ()


def test_nearer_to_the_own_reference_than_to_others() -> None:
    features = np.eye(4)
    assert reference_figures(features, features)["reference_nearer"] == 1
    assert reference_figures(features, np.ones((4, 4)))["reference_nearer"] == 0.5


def test_halves_of_one_set_are_near_and_share_no_picture() -> None:
    x = np.random.default_rng(0).normal(size=(400, 3))
    found = halves(x)
    assert found.count == found.reference_count == 200
    assert found.value < 0.2


def test_markdown_of_tables_becomes_html() -> None:
    found = to_html("A *b* `c<d`.\n\n| x | y |\n|---|---|\n| **1** | 2 |\n\n- one\n- two")
    assert found == (
        "<p>A <i>b</i> <code>c&lt;d</code>.</p><table><tr><th>x</th><th>y</th></tr>"
        "<tr><td><b>1</b></td><td>2</td></tr></table><ul><li>one</li><li>two</li></ul>"
    )


def test_pictures_known_by_heart_are_found(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("memory", "--model", "model", "--real", "data", "--train-data-dir", "data")
    assert evaluate(*asked, "--output-dir", "out", "--json") == 0
    found = printed(capsys)
    assert found["nearest_real"] == pytest.approx(0, abs=1e-6)  # the held-out ones are known
    assert found["nearest_generated"] > 1e-3  # type: ignore[operator]
    assert found["nearer_than_real"] == 0 and len(found["closest"]) == 8  # type: ignore[arg-type]
    assert (place / "out" / "memory.png").is_file()


def test_the_nearest_is_the_one_in_the_same_direction() -> None:
    training = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    distances, rows = nearest(np.array([[5.0, 5.0], [0.1, 1.0]]), training)
    assert rows.tolist() == [2, 1]
    assert distances[0] == pytest.approx(0, abs=1e-9) and 0 < distances[1] < 0.01


def test_a_recipe_has_every_setting_that_a_picture_depends_on() -> None:
    apart = {"num_images_per_prompt"}  # each picture has a line of its own
    assert set(REQUEST_SETTINGS) - apart <= set(RECIPE)
