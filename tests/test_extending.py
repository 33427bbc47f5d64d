"""What a newcomer adds, added here as a toy in one class and used from end to end."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Iterator
from dataclasses import fields, replace
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
import ufc.io.inputs as ufc_inputs
import ufc.training.trainer
from estimators.base import ESTIMATORS, REAL, Estimator, Examples, label_where, register_estimator
from estimators.metrics.base import METRICS, MeasuredSet, Metric, metric_table, register_metric
from ufc.cli.flags import derived_flags
from ufc.conditioning.control_item import ControlItem
from ufc.conditioning.controls import CONTROLS, Control, Encoders, register_control
from ufc.evaluation.ablation import variants
from ufc.io.png.metadata import read_metadata
from ufc.io.validation import RequestError
from ufc.pipeline import UFCPipeline
from ufc.request import Request
from ufc.sampling.generation_config import SETTINGS, kind_of, range_of
from ufc.sampling.orders import ORDERS, Order, StepView, register_order
from ufc.training.objectives import OBJECTIVES, Context, Objective, register_objective
from webui.sessions.state import Session, Settings, to_request

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


def test_a_control_is_one_class(ufc, pipeline: UFCPipeline, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
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
    drawn = pipeline("red bag", seed=0, sketch_image=sketch, fabric="leather")
    as_reference = pipeline("red bag", seed=0, reference_images=[sketch])
    only_sketch = pipeline("red bag", seed=0, sketch_image=sketch)
    assert not torch.equal(drawn.codes, plain.codes)
    assert torch.equal(only_sketch.codes, as_reference.codes)
    with pytest.raises(TypeError, match="unexpected keyword argument 'skecth'"):
        pipeline("red bag", skecth=sketch)

    importlib.reload(command_line)  # its flags are derived when it is imported
    sketch.save(tmp_path / "sketch.png")
    given = ["--sketch-image", str(tmp_path / "sketch.png"), "--fabric", "leather"]
    assert ufc("generate", "--help")[1].count("A drawing of the outline.") == 1
    code, _, _ = ufc("generate", "--prompt", "red bag", "--seed", "5", *given, output_dir="a")
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

    session = Session(settings=replace(Settings(), controls={"fabric": "linen"}))
    assert to_request(session, 4).controls == {"fabric": "linen"}


def picture_bytes(folder: str, row: dict[str, Any]) -> bytes:
    return Image.open(Path(folder) / row["file_name"]).tobytes()


def test_an_input_file_is_opened_and_encoded_once(
    ufc, pipeline: UFCPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    red, same = tmp_path / "red.png", tmp_path / "same.png"
    Image.new("RGB", (40, 40), (200, 30, 30)).save(red)
    same.write_bytes(red.read_bytes())
    opened: list[str] = []
    encoded: list[int] = []
    read, encode = ufc_inputs.read_picture, UFCPipeline.encode_reference
    monkeypatch.setattr(ufc_inputs, "read_picture", lambda at: opened.append(at) or read(at))
    monkeypatch.setattr(
        UFCPipeline, "encode_reference", lambda self, one: encoded.append(1) or encode(self, one)
    )
    flags = ["--reference-image", str(red), "--reference-image", str(same), "--batch-size", "4"]
    code, _, _ = ufc("generate", "--prompt", "bag", "--num-images-per-prompt", "4", *flags)
    assert code == 0 and sorted(opened) == sorted(map(str, (red, same))) and len(encoded) == 1
    opened.clear()
    edit = ["--image", str(red), "--preserve-blocks", "0-3", "--num-images-per-prompt", "3"]
    assert ufc("edit", "--prompt", "bag", *edit, output_dir="edited")[0] == 0
    assert opened == [str(red)]


def test_a_sampling_setting_is_one_field() -> None:
    """Flags, prompts files, recipes and ranges derive from it; what lists settings in the open,
    for the sake of its signature, lists all of them."""
    signature = inspect.signature(UFCPipeline.__call__).parameters
    assert set(SETTINGS) <= set(signature)
    own = {name: field.default for name, field in SETTINGS.items()}
    for name, parameter in signature.items():
        if name in own and parameter.default is not None:
            assert parameter.default == own[name], name
    requested = {field.name for field in fields(Request)}
    assert set(SETTINGS) - {"score_steps"} <= requested
    assert set(derived_flags()["settings"]) == set(SETTINGS) - {"score_steps"}
    for name in set(SETTINGS) - {"score_steps", "order"}:
        if kind_of(name) is not bool:
            _, most = range_of(name)
            with pytest.raises(RequestError, match=name):
                Request(prompt="bag", **{name: most + 1})
            with pytest.raises(RequestError, match=name):
                UFCPipeline.__call__(make_pipeline(), "bag", **{name: most + 1})


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
