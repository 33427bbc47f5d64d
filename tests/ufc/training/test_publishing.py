"""What every trainer pushes to the hub, and to trackers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from toy_data import write_folder
from toy_hub import ToyHub
from toy_trainers import COMMANDS, toy_trainer

from ufc.cli.main import main as cli
from ufc_base.publishing.upload import HubError
from ufc_base.training.metrics_log import MetricsLog
from ufc_base.training.processes import Engine
from ufc_base.training.trackers import Trackers

TASKS = {
    "train-tokenizer": ("image-to-image", "VQGAN.from_pretrained"),
    "train": ("text-to-image", "UFCPipeline.from_pretrained"),
    "train-contrastive": ("zero-shot-image-classification", "ContrastiveEstimator.from_pretrained"),
    "train-contradiction": ("text-classification", "ContradictionModel.from_pretrained"),
    "train-upscaler": ("image-to-image", "Upscaler.from_pretrained"),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("data") / "folder", 12)


@pytest.mark.parametrize("command", COMMANDS)
def test_what_was_trained_and_a_card(
    command: str, data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, kind = ToyHub(monkeypatch), toy_trainer(command, data, model)
    config = replace(kind.config(tmp_path / "run"), push_to_hub=True, hub_private_repo=True)
    kind.main(replace(config, hub_model_id="me/made", hub_licence="mit"))
    assert hub.created == [("me/made", True)] * 2
    assert any(name.endswith("model.safetensors") for name in hub.files)
    assert not any("checkpoint" in name or "metrics" in name for name in hub.files)
    task, loaded_by = TASKS[command]
    assert hub.metadata.pipeline_tag == task and hub.metadata.license == "mit"
    assert hub.metadata.library_name == ("diffusers" if command == "train" else "ufc-bert")
    assert loaded_by in hub.card and "me/made" in hub.card and "# made\n" in hub.card
    assert "| steps, at most | 8 |" in hub.card and str(data) not in hub.card


@pytest.mark.parametrize("command", COMMANDS)
def test_a_hub_that_refuses_is_told_before_the_first_step(
    command: str, data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ToyHub(monkeypatch)
    kind = toy_trainer(command, data, model)
    monkeypatch.setattr(kind.trainer, "train_step", None)
    config = replace(kind.config(tmp_path / "run"), push_to_hub=True, hub_model_id="no/way")
    with pytest.raises(HubError, match=r"cannot make 'no/way'.*403.*token"):
        kind.main(config)


def test_an_export_is_not_pushed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(["train-upscaler", "--export-from", str(tmp_path), "--push-to-hub"]) == 2
    assert "--push-to-hub goes with a training" in capsys.readouterr().err
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("push_to_hub: true\n")
    asked = ["train-upscaler", "--export-from", str(tmp_path), "--config", str(recipe)]
    assert cli(asked) == 2
    assert "--push-to-hub goes with a training" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["train-contrastive", "train-contradiction"])
def test_one_process_of_several_pushes(
    command: str, data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, kind = ToyHub(monkeypatch), toy_trainer(command, data, model)
    monkeypatch.setattr(Engine, "first", property(lambda _: False))
    kind.main(replace(kind.config(tmp_path / "run"), push_to_hub=True))
    assert hub.created == []


@pytest.mark.parametrize(
    ("command", "name", "size"),
    [
        ("train-tokenizer", "previews/reconstructions", (12 * 16, 2 * 16)),
        ("train-upscaler", "previews/enlargements", (6 * 16, 3 * 16)),
    ],
)
def test_previews_are_in_the_tracker_and_on_the_disk(
    command: str,
    name: str,
    size: tuple[int, int],
    data: Path,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: list[tuple[int, dict[str, Image.Image]]] = []
    monkeypatch.setattr(MetricsLog, "pictures", lambda _, step, named: shown.append((step, named)))
    kind = toy_trainer(command, data, model)
    kind.main(replace(kind.config(tmp_path / "run"), validation_steps=8))
    ((step, named),) = shown
    assert step == 8 and list(named) == [name] and named[name].size == size
    assert Image.open(tmp_path / "run" / "grid-000008.png").size == size


@pytest.mark.parametrize("command", COMMANDS)
def test_figures_are_in_the_tracker(
    command: str, data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []

    class Tracker:
        def log(self, values: dict[str, Any], step: int) -> None:
            steps.append(step)

        def log_images(self, *_: Any, **__: Any) -> None: ...

        def finish(self) -> None: ...

    def opened(names: Any, *_: Any) -> Trackers | None:
        return Trackers({name: Tracker() for name in names}, print)

    monkeypatch.setattr("ufc_base.training.loop.open_trackers", opened)
    kind = toy_trainer(command, data, model)
    kind.main(replace(kind.config(tmp_path / "run"), report_to=("wandb",)))
    assert set(range(1, 9)) <= set(steps)
