"""What a newcomer adds, added here as a toy in one class and used from end to end."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from cli_helpers import manifest
from conftest import make_pipeline
from PIL import Image
from torch import Tensor
from toy_data import write_folder
from toy_training import model_config

import ufc
import ufc.cli.main
import ufc.cli.main as command_line
import ufc.training.trainer
from estimators.base import ESTIMATORS, REAL, Estimator, Examples, label_where, register_estimator
from estimators.metrics.base import METRICS, MeasuredSet, Metric, metric_table, register_metric
from ufc.conditioning.conditioning import Conditioning
from ufc.conditioning.control_item import ControlItem
from ufc.conditioning.controls import CONTROLS, Control, Encoders, register_control
from ufc.evaluation.ablation import variants
from ufc.io.png.metadata import read_metadata
from ufc.pipeline import UFCPipeline
from ufc.requests.loading import ModelSettings
from ufc.sampling import generation_config
from ufc.sampling.generation_config import SETTINGS
from ufc.sampling.orders import ORDERS, Order, StepView, register_order
from ufc.training.objectives import OBJECTIVES, Context, Objective, register_objective
from vqgan.model import VQGAN
from webui.sessions import uploads
from webui.sessions.generating.generation import GenerationJob
from webui.sessions.state import (
    Settings,
    from_request,
    picture_controls,
    set_control,
    word_controls,
)
from webui.sessions.studio import Studio

REGISTRIES = (ORDERS, ESTIMATORS, OBJECTIVES, METRICS, CONTROLS)


@pytest.fixture(autouse=True)
def registries() -> Iterator[None]:
    before = [dict(registry) for registry in REGISTRIES]
    yield
    for registry, kept in zip(REGISTRIES, before, strict=True):
        registry.clear()
        registry.update(kept)
    importlib.reload(command_line)


def test_an_order_is_one_class(ufc, pipeline: UFCPipeline) -> None:  # type: ignore[no-untyped-def]
    @register_order
    class Raster(Order):
        name = "raster"
        summary = "row by row"

        def ratio(self, step: int, steps: int) -> float:
            return 1 - step / steps

        def keys(self, view: StepView) -> Tensor:
            return -torch.arange(view.locked_AT.shape[1]).float()[None, None]

        def eligible(self, view: StepView) -> Tensor:
            return view.pending_AT

    found = pipeline("red bag", order="raster", num_inference_steps=4, seed=0)
    steps = [block["step"] for block in found.provenance[0]]
    assert steps == sorted(steps) and set(steps) == {0, 1, 2, 3}  # kept from the top downwards
    code, _, _ = ufc("generate", "--prompt", "red bag", "--order", "raster")
    assert code == 0 and manifest()[0]["order"] == "raster"
    assert "raster" in {row.name for row in variants(24, 2, 2.0)}


def test_an_estimator_is_one_class_and_a_name_in_the_config(tmp_path: Path) -> None:
    @register_estimator
    class Finished(Estimator):
        name = "finished"
        sees_conditioning = False

        def labels(self, examples: Examples) -> Tensor:
            real = examples.of(REAL)
            return label_where(real & examples.complete, real & ~examples.complete)

    old = make_pipeline()
    old.save_pretrained(tmp_path / "old")
    data = write_folder(tmp_path / "data")
    names = ("compliance", "fidelity", "finished")
    config = model_config(
        data, tmp_path / "old", tmp_path / "new", init_from=str(tmp_path / "old"),
        estimators=names, max_train_steps=4, estimator_steps=1,
    )  # fmt: skip
    pipeline = UFCPipeline.from_pretrained(ufc.training.trainer.main(config), dtype="fp32")
    assert pipeline.transformer.config.estimators == names
    curve = pipeline("red bag", order="pnag", num_inference_steps=2, seed=0).curves[0]
    assert {"step", *names} == set(curve[0])
    assert UFCPipeline.from_pretrained(tmp_path / "old").transformer.config.estimators == names[:2]


def test_an_objective_is_one_class_and_a_weight(tmp_path: Path) -> None:
    seen: list[int] = []

    @register_objective
    class Small(Objective):
        name = "small-bias"

        def loss(self, context: Context) -> tuple[Tensor, dict[str, Tensor]]:
            seen.append(len(context.batch.items))
            loss = (context.model.code_bias - 1).square().mean()
            return loss, {"small_bias": loss.detach()}

    make_pipeline().save_pretrained(tmp_path / "old")
    data = write_folder(tmp_path / "data")
    config = model_config(data, tmp_path / "old", tmp_path / "new", max_train_steps=3)
    folder = ufc.training.trainer.main(replace(config, objectives=("small-bias=0.5",)))
    assert seen == [4, 4, 4]
    bias = UFCPipeline.from_pretrained(folder, dtype="fp32").transformer.code_bias
    assert bias.mean() > 0
    with pytest.raises(ValueError, match=r"no objective \['nothing'\]; choose from .*masked-words"):
        ufc.training.trainer.main(
            replace(config, objectives=("nothing=1",), output_dir=str(tmp_path / "other"))
        )


def test_a_metric_is_one_class(
    tmp_path: Path, pipeline: UFCPipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    @register_metric
    class MeanStep(Metric):
        name = "mean_step"
        help = "Distance of the mean features from the real ones'."
        needs = frozenset({"features", "real"})
        higher_is_better = False

        def measure(self, given: MeasuredSet, judge: object) -> dict[str, float]:
            assert given.features is not None and given.real is not None
            step = given.features.mean(0) - given.real.mean(0)
            return {"mean_step": float((step**2).sum() ** 0.5)}

    pipeline.save_pretrained(tmp_path / "model")
    data = str(write_folder(tmp_path / "data", 6))
    common = ["--extractor", "toy_extractor:tiny_extractor", "--no-cache"]
    asked = ["evaluate", data, "--real", data, "--mean-step", *common]
    assert ufc.cli.main.main([*asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["mean_step"] == pytest.approx(0, abs=1e-6) and "fid" not in found
    of_model = ["evaluate", str(tmp_path / "model"), "--real", data, "--mean-step", *common]
    assert ufc.cli.main.main(of_model) == 0
    assert "mean_step" in capsys.readouterr().out
    assert ufc.cli.main.main(["evaluate", data, "--mean-step", *common]) == 2
    assert "mean_step compare with real pictures" in capsys.readouterr().err
    assert ufc.cli.main.main(["evaluate", "--help"]) == 0
    assert "--mean-step" in capsys.readouterr().out
    assert "| `--mean-step` | Distance of the mean features" in metric_table()


def test_a_control_is_one_class(
    ufc,  # type: ignore[no-untyped-def]
    model: Path,
    pipeline: UFCPipeline,
    tmp_path: Path,
) -> None:
    @register_control
    class Sketch(Control):
        name = "sketch_image"
        kind = "picture"
        help = "A drawing of the outline."

        def encode(self, value: Image.Image, encoders: Encoders) -> ControlItem:
            return ControlItem(references=[encoders.picture(value)])

    @register_control
    class Fabric(Control):
        name = "fabric"
        help = "What it is made of."

        def encode(self, value: str, encoders: Encoders) -> ControlItem:
            return ControlItem(encoders.text(f"made of {value}"))

    sketch = Image.new("RGB", (32, 32), (200, 30, 30))
    plain = pipeline("red bag", seed=0)
    named = pipeline("red bag", seed=0, sketch_image=sketch, fabric="leather")
    given = Conditioning(prompt="red bag", sketch_image=sketch, fabric="leather")
    as_reference = pipeline("red bag", seed=0, reference_images=[sketch])
    only_sketch = pipeline("red bag", seed=0, sketch_image=sketch)
    assert not torch.equal(named.codes, plain.codes)
    assert torch.equal(named.codes, pipeline(conditioning=given, seed=0).codes)
    assert torch.equal(only_sketch.codes, as_reference.codes)
    with pytest.raises(TypeError, match="unexpected keyword argument 'skecth'"):
        pipeline("red bag", skecth=sketch)
    with pytest.raises(ValueError, match="got conditioning and also fabric"):
        pipeline(conditioning=given, fabric="linen")

    importlib.reload(command_line)  # its flags are derived when it is imported
    sketch.save(tmp_path / "sketch.png")
    flags = ["--sketch-image", str(tmp_path / "sketch.png"), "--fabric", "leather"]
    assert ufc("generate", "--help")[1].count("A drawing of the outline.") == 1
    code, _, _ = ufc("generate", "--prompt", "red bag", "--seed", "5", *flags, output_dir="a")
    row = manifest("a")[0]
    assert code == 0 and row["fabric"] == "leather" and row["sketch_image"].endswith("sketch.png")
    request = read_metadata(Path("a") / row["file_name"]).request
    assert request is not None and request["request"]["fabric"] == "leather"
    assert set(request["request"]["sketch_image"]) == {"sha256"}

    assert ufc("generate", "--prompts-file", "a/manifest.jsonl", output_dir="b")[0] == 0
    assert picture_bytes("a", row) == picture_bytes("b", manifest("b")[0])
    missing = ["--sketch-image", "nowhere.png"]
    code, _, said = ufc("generate", "--prompt", "bag", *missing, output_dir="c")
    assert code == 2 and "nowhere.png: no such file" in said

    line = "red bag --seed 5 --sketch-image sketch.png --fabric leather"
    (tmp_path / "lines.txt").write_text(line)
    assert ufc("generate", "--prompts-file", tmp_path / "lines.txt", output_dir="d")[0] == 0
    assert picture_bytes("a", row) == picture_bytes("d", manifest("d")[0])
    assert ufc("generate", "--fabric", "leather", "--seed", "5", output_dir="e")[0] == 0
    row = manifest("e")[0]
    picture = Path("e") / row["file_name"]
    assert ufc("generate", "--prompts-file", picture, output_dir="f")[0] == 0
    assert picture_bytes("e", row) == picture_bytes("f", manifest("f")[0])

    studio = Studio(tmp_path / "sessions", ModelSettings(str(model)))
    key = studio.begin()
    uploads.give_picture(studio, key, "sketch_image", (tmp_path / "sketch.png").read_bytes())
    session = studio.store.update(key, lambda s: set_control(s, "fabric", "leather"))
    assert list(word_controls()) == ["fabric"] and list(picture_controls()) == ["sketch_image"]
    wanted = studio.request(session)
    assert wanted.fabric == "leather"
    job = GenerationJob(studio.loaded, studio.store, key, wanted, None)
    assert job.conditioning().sketch_image.getpixel((0, 0)) == (200, 30, 30)
    assert from_request(Settings(), wanted.to_json()).controls == {"fabric": "leather"}


def picture_bytes(folder: str, row: dict[str, Any]) -> bytes:
    return Image.open(Path(folder) / row["file_name"]).tobytes()


@pytest.mark.parametrize("batch_size", [1, 4])
def test_an_input_file_is_opened_and_encoded_once(
    batch_size: int,
    ufc,  # type: ignore[no-untyped-def]
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    red, same = tmp_path / "red.png", tmp_path / "same.png"
    Image.new("RGB", (40, 40), (200, 30, 30)).save(red)
    same.write_bytes(red.read_bytes())
    opened: list[str] = []
    encoded: list[int] = []
    read, encode = Image.open, VQGAN.encode
    monkeypatch.setattr(Image, "open", lambda at, *a, **k: opened.append(at) or read(at, *a, **k))
    monkeypatch.setattr(VQGAN, "encode", lambda self, x: encoded.append(len(x)) or encode(self, x))
    flags = ["--reference-image", str(red), "--reference-image", str(same)]
    many = ["--num-images-per-prompt", "8", "--batch-size", str(batch_size)]
    assert ufc("generate", "--prompt", "bag", *many, *flags)[0] == 0
    assert len(opened) == 2 and encoded == [1]
    opened.clear()
    encoded.clear()
    edit = ["--image", str(red), "--preserve-blocks", "0-3", *many]
    assert ufc("edit", "--prompt", "bag", *edit, output_dir="edited")[0] == 0
    assert len(opened) == 1 and encoded == [1]


def test_codes_are_encoded_anew_where_the_tokenizer_has_changed() -> None:
    pipe, picture = make_pipeline(), Image.new("RGB", (16, 16), (200, 30, 30))
    first = pipe.encode_reference(picture)
    with torch.no_grad():
        for weight in pipe.tokenizer.encoder.parameters():
            weight.normal_(generator=torch.Generator().manual_seed(1))
    fresh = pipe.encode([picture])[0]
    assert not torch.equal(first, fresh) and torch.equal(pipe.encode_reference(picture), fresh)


def test_the_call_spells_out_all_controls_and_settings() -> None:
    called = inspect.signature(UFCPipeline.__call__).parameters
    of_the_call = {"self", "reference_weights", "conditioning", "generator", "output_type"}
    of_the_call |= {"callback_on_step_end", "callback_on_step_end_tensor_inputs", "callback"}
    of_the_call |= {"callback_steps", "return_dict", "latents", "expand_prompt", "further"}
    of_the_call |= {"scorer", "scorer_weight"}
    assert set(called) - of_the_call == {*Conditioning.model_fields, *SETTINGS}
    for name in SETTINGS:
        default = called[name].default
        assert default is None or default == SETTINGS[name].default
    for name in Conditioning.model_fields:
        assert called[name].default in (None, Conditioning.model_fields[name].default)


ONE_FIELD = '    sparkle: float = Field(0.5, ge=0, le=2, description="A toy of a setting.")\n'
BEFORE = "    score_steps: bool"
WITH_ONE_FIELD = """
import importlib.abc, importlib.util, json, sys
from pathlib import Path

class Edited(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "ufc.sampling.generation_config":
            return importlib.util.spec_from_file_location(name, sys.argv[1])

sys.meta_path.insert(0, Edited())
from ufc import UFCPipeline
from ufc.cli.main import main
from ufc.io.png.metadata import read_metadata
from webui.sessions.state import Session, Settings, from_request, further_settings, to_request

model = sys.argv[2]
def generate(output, *arguments):
    fixed = ["--model", model, "--num-inference-steps", "1", "--output-dir", output]
    assert main(["generate", *arguments, *fixed]) == 0
    return [json.loads(line) for line in Path(output, "manifest.jsonl").open()]

from ufc.serving.bodies import json_body
assert json_body()(sparkle=1.5).own_settings == {"sparkle": 1.5}
assert main(["generate", "--help"]) == 0
[line] = generate("a", "--prompt", "bag", "--sparkle", "1.5")
assert line["sparkle"] == 1.5
picture = f"a/{line['file_name']}"
assert read_metadata(picture).request["request"]["sparkle"] == 1.5
assert [one["sparkle"] for one in generate("b", "--prompts-file", picture)] == [1.5]
Path("p.txt").write_text("bag --sparkle 1.25\\nbag\\n")
lines = generate("c", "--prompts-file", "p.txt", "--batch-size", "2")
assert [one["sparkle"] for one in lines] == [1.25, 0.75]  # the model's own default is 0.75
assert lines[0]["group"] != lines[1]["group"]
assert main(["generate", "--prompt", "bag", "--sparkle", "9"]) == 2
assert "sparkle" in further_settings()
session = Session(settings=Settings(prompt="bag", sampling={"sparkle": 1.0}))
assert to_request(session, 4).to_json()["sparkle"] == 1.0
assert from_request(Settings(), {"sparkle": 0.25}).sampling == {"sparkle": 0.25}
try:
    UFCPipeline.from_pretrained(model)("bag", sparkle=9)
except ValueError as error:
    print(error)
"""


def test_a_sampling_setting_is_one_field(model: Path, tmp_path: Path) -> None:
    """One line is added to a copy of the file, in an interpreter of its own."""
    text = Path(generation_config.__file__).read_text(encoding="utf-8")
    assert text.count(BEFORE) == 1
    edited = tmp_path / "generation_config.py"
    edited.write_text(text.replace(BEFORE, ONE_FIELD + BEFORE), encoding="utf-8")
    shutil.copytree(model, tmp_path / "model")
    index = json.loads((model / "model_index.json").read_text())
    index["defaults"] = {"sparkle": 0.75}
    (tmp_path / "model" / "model_index.json").write_text(json.dumps(index))
    result = subprocess.run(
        [sys.executable, "-c", WITH_ONE_FIELD, str(edited), str(tmp_path / "model")],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(ufc.__file__).parent.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "A toy of a setting." in result.stdout and "--sparkle" in result.stdout
    assert "sparkle: got 9, wanted 0 to 2" in result.stdout + result.stderr


def test_blocks_are_locked_in_one_place(
    ufc,  # type: ignore[no-untyped-def]
    pipeline: UFCPipeline,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What `kept_blocks` says is locked, whoever asks."""
    grid = pipeline.grid_size
    locked_T = torch.arange(grid[0] * grid[1]) != 5
    monkeypatch.setattr("ufc.conditioning.known_tokens.kept_blocks", lambda *_: locked_T)
    picture = Image.new("RGB", (40, 40), (200, 30, 30))
    out = pipeline("bag", image=picture, preserve_blocks=[0, 1], seed=0)
    assert [story["kept"] for story in out.provenance[0]] == locked_T.tolist()
    picture.save(tmp_path / "bag.png")
    flags = ["--image", str(tmp_path / "bag.png"), "--preserve-blocks", "0-1"]
    assert ufc("edit", "--prompt", "bag", *flags)[0] == 0
    blocks = read_metadata(Path("out") / manifest()[0]["file_name"]).blocks
    assert blocks is not None
    assert [origin.kept for origin in blocks.provenance] == locked_T.tolist()
