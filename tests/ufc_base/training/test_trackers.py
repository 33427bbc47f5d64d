"""What trackers are told of a run."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import make_pipeline, picture
from toy_data import write_folder
from toy_training import model_config

import ufc.training.trainer
import ufc_base.training.trackers as module
from ufc_base.extras import UnavailableError
from ufc_base.training.trackers import Trackers, open_trackers, preview_name

LINES: list[str] = []


@pytest.fixture
def run(tmp_path: Path) -> Any:
    make_pipeline().save_pretrained(tmp_path / "model")
    data = write_folder(tmp_path / "data", 4)
    return model_config(
        data, tmp_path / "model", tmp_path / "run", init_from=str(tmp_path / "model"),
        max_train_steps=4, logging_steps=2, validation_steps=4, checkpointing_steps=4,
        estimator_weight=0.0, report_to=("tensorboard",),
    )  # fmt: skip


def test_tensorboard_has_the_log_and_the_previews(run: Any, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    ufc.training.trainer.main(run)
    found = EventAccumulator(str(tmp_path / "run" / "tensorboard"), size_guidance={"images": 0})
    found.Reload()
    assert [event.step for event in found.Scalars("code_loss")] == [2, 4]
    assert {"lr", "samples_per_second", "minutes"} <= set(found.Tags()["scalars"])
    (image,) = found.Images("previews/0-red-bag")
    assert image.step == 4 and (image.width, image.height) == (16, 16)


class Recorder:
    """A tracker of accelerate's kind."""

    def __init__(self, name: str, calls: list[Any]) -> None:
        self.name, self.calls = name, calls

    def __call__(self, project: str, **settings: Any) -> Recorder:
        self.calls.append(("open", project, settings))
        return self

    def start(self) -> None:
        self.calls.append("start")

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self.calls.append(("settings", values))

    def log(self, values: dict[str, Any], step: int) -> None:
        self.calls.append(("log", step, values))

    def log_images(self, values: dict[str, Any], step: int) -> None:
        self.calls.append(("images", step, {name: one.shape for name, one in values.items()}))

    def finish(self) -> None:
        self.calls.append("finish")


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_the_others_are_told_the_same(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking = pytest.importorskip("accelerate.tracking")
    calls: list[Any] = []
    monkeypatch.setattr(module, "find_spec", lambda name: object())
    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, name, Recorder(name, calls))
    fake = ModuleType("trackio")
    fake.Image = lambda array, caption: (array.shape, caption)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "trackio", fake)
    settings = {"learning_rate": 0.1, "objectives": ("a", "b"), "init_from": None}
    trackers = open_trackers([name, name], tmp_path / "bags", settings, 0, LINES.append)
    assert trackers is not None
    trackers.log(3, {"step": 3, "loss": 0.5, "note": "words", "flag": True})
    trackers.pictures(3, {"previews/0-bag": picture(1)})
    trackers.close()
    (_, project, where), *rest = calls
    assert project == "ufc-bert" and where["name"] == "bags"
    stored = {"learning_rate": 0.1, "objectives": "('a', 'b')", "init_from": None}
    images = ("images", 3, {"previews/0-bag": (1, 16, 16, 3)})
    if name == "trackio":
        images = ("log", 3, {"previews/0-bag": ((16, 16, 3), "previews/0-bag")})
    assert rest == ["start", ("settings", stored), ("log", 3, {"loss": 0.5}), images, "finish"]


def test_a_tracker_that_fails_ends_no_training() -> None:
    calls: list[Any] = []

    class Broken(Recorder):
        def log(self, values: dict[str, Any], step: int) -> None:
            raise ConnectionError("no network")

    told: list[str] = []
    sound = Recorder("b", calls)
    trackers = Trackers({"wandb": Broken("a", []), "tensorboard": sound}, told.append)
    trackers.log(1, {"loss": 1.0})
    trackers.log(2, {"loss": 1.0})
    assert told == ["wandb is left out from here: ConnectionError: no network"]
    assert [call[1] for call in calls] == [1, 2]


def test_what_is_missing_or_unknown(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    with pytest.raises(ValueError, match="report_to: got 'paper', wanted tensorboard, wandb"):
        replace(run, report_to=("paper",))
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    for name, how in (("tensorboard", r"\[track\]"), ("wandb", "pip install wandb")):
        with pytest.raises(UnavailableError, match=rf"{name} is not installed: .*{how}"):
            open_trackers([name], tmp_path, {}, 0, LINES.append)
    assert open_trackers([], tmp_path, {}, 0, LINES.append) is None


def test_names_of_previews() -> None:
    assert preview_name(2, "women's red bag, 女士") == "previews/2-women-s-red-bag-女士"
