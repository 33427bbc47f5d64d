"""What a training run refuses: settings, folders and checkpoints that are not its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toy_data import write_folder

from ufc.training.config import TrainConfig
from ufc.training.contrastive_training import ContrastiveTrainConfig
from ufc.training.contrastive_training import main as train_contrastive
from ufc_base.checkpoint import CheckpointError
from ufc_base.settings import LoopSettings
from ufc_base.training.checkpoints import Checkpoints, go_on
from ufc_base.training.loop import train
from ufc_base.training.processes import Engine, pick_device
from vqgan.training.config import TokenizerTrainConfig


@pytest.mark.parametrize("config", [TokenizerTrainConfig, TrainConfig, ContrastiveTrainConfig])
def test_numbers_below_their_least_are_refused(config: type) -> None:
    with pytest.raises(ValueError, match="max_train_steps: got 0, wanted 1 or more"):
        config(max_train_steps=0)
    with pytest.raises(ValueError, match="learning_rate: got nan, wanted 0 or more"):
        config(learning_rate=float("nan"))
    with pytest.raises(ValueError, match="train_batch_size: got -2"):
        replace(config(), train_batch_size=-2)
    assert config(lr_warmup_steps=0, max_train_minutes=None, seed=0).seed == 0


def test_a_run_does_not_write_over_another(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "run")
    checkpoints.begin(None)
    assert checkpoints.load("latest") is None and checkpoints.load(None) is None
    checkpoints.save(3, {"step": 3})
    with pytest.raises(CheckpointError, match="holds a run already: resume it"):
        checkpoints.begin(None)
    checkpoints.begin("latest")
    assert checkpoints.load("latest") == {"step": 3}


def test_a_checkpoint_of_elsewhere_is_not_gone_on_with_over_a_run(tmp_path: Path) -> None:
    elsewhere = str(Checkpoints(tmp_path / "other").save(5, {"step": 5}))
    here = Checkpoints(tmp_path / "run")
    here.begin(elsewhere)  # nothing to lose yet
    path = here.save(3, {"step": 3})
    with pytest.raises(CheckpointError, match="holds a run already"):
        here.begin(elsewhere)
    here.begin(str(path))


@pytest.mark.parametrize("resume", [None, "latest"])
@pytest.mark.parametrize("written", ["config.json", "model_index.json"])
def test_a_finished_model_without_checkpoints_is_not_written_over(
    tmp_path: Path, written: str, resume: str | None
) -> None:
    checkpoints = Checkpoints(tmp_path)
    for name in ("codes.safetensors", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    checkpoints.begin(resume)  # those are there before a run has got anywhere
    (tmp_path / written).write_text("{}")
    with pytest.raises(CheckpointError, match=r"a finished model and no checkpoint.* choose"):
        checkpoints.begin(resume)
    checkpoints.save(3, {})
    checkpoints.begin("latest")


@pytest.mark.parametrize("limit", [1, 2, 4])
def test_the_checkpoint_just_written_stays(tmp_path: Path, limit: int) -> None:
    checkpoints = Checkpoints(tmp_path, limit)
    for count, step in enumerate((70, 80, 90, 10, 20), 1):
        path = checkpoints.save(step, {"step": step})
        assert checkpoints.load(str(path)) == {"step": step}
        assert len(checkpoints.numbers()) == min(limit, count)


class Counting:
    """A trainer that learns to count its steps, and is killed after the `last` one."""

    def __init__(self, last: int = 99) -> None:
        self.step, self.last = 0, last

    def train_step(self, batch: object, progress: float) -> dict[str, float]:
        if self.step == self.last:
            raise KeyboardInterrupt
        self.step += 1
        return {"loss": 0.0}

    def state_dict(self) -> dict[str, int]:
        return {"step": self.step}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.step = state["step"]


class Nothing:
    """Data of no samples."""

    def __call__(self, step: int) -> None: ...

    def state_dict(self) -> dict[str, object]:
        return {}

    def load_state_dict(self, state: dict[str, object]) -> None: ...


def test_latest_means_the_run_that_went_on_from_an_earlier_checkpoint(tmp_path: Path) -> None:
    settings = LoopSettings(
        output_dir=str(tmp_path), checkpointing_steps=4, max_train_steps=20,
        checkpoints_total_limit=3, device="cpu",
    )  # fmt: skip
    engine = Engine("cpu")

    def run(trainer: Counting, resume: str | None) -> None:
        train(trainer, Nothing(), replace(settings, resume_from_checkpoint=resume), engine, print)

    run(Counting(), None)
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.numbers() == [12, 16, 20]
    with pytest.raises(KeyboardInterrupt):
        run(Counting(last=15), str(tmp_path / "checkpoint-12"))
    assert checkpoints.load("latest") == checkpoints.load(str(tmp_path / "checkpoint-12"))
    run(Counting(), "latest")
    assert checkpoints.numbers() == [12, 16, 20]


def test_the_contrastive_recipe_keeps_its_folder_as_the_others_do(
    model: Path, tmp_path: Path
) -> None:
    config = ContrastiveTrainConfig(
        train_data_dir=str(write_folder(tmp_path / "data", 8)), model=str(model),
        output_dir=str(tmp_path / "out"), image_width=32, text_width=32, text_depth=1, embedding=16,
        train_batch_size=4, frozen_steps=2, max_train_steps=6, checkpointing_steps=2,
    )  # fmt: skip
    train_contrastive(config)
    checkpoints = Checkpoints(tmp_path / "out")
    assert checkpoints.numbers() == [4, 6]
    earlier = str(tmp_path / "out" / "checkpoint-4")
    train_contrastive(replace(config, max_train_steps=5, resume_from_checkpoint=earlier))
    assert checkpoints.numbers() == [4]
    short = replace(config, max_train_steps=1, frozen_steps=1, output_dir=str(tmp_path / "short"))
    train_contrastive(short)
    with pytest.raises(CheckpointError, match="a finished model and no checkpoint"):
        train_contrastive(short)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be made"):
        Checkpoints(tmp_path / "file").begin(None)


def test_a_damaged_checkpoint_is_one_clear_line(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    file = checkpoints.save(3, {"weights": torch.zeros(1000)}) / "trainer.pt"
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(CheckpointError, match="truncated or damaged") as caught:
        checkpoints.load("latest")
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_other_sizes_is_one_clear_line() -> None:
    state = torch.nn.Linear(2, 3).state_dict()
    with pytest.raises(CheckpointError, match="does not fit this run") as caught:
        go_on(torch.nn.Linear(2, 4), state)
    assert "\n" not in str(caught.value) and "size mismatch" in str(caught.value)


def test_devices_have_names() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    with pytest.raises(ValueError, match="device is 'gpu'; choose auto, cpu or cuda"):
        pick_device("gpu")
