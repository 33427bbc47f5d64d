"""What a training run refuses: settings, folders and checkpoints that are not its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ufc.recipe import TrainConfig
from ufc.train_contrastive import ContrastiveTrainConfig
from vqgan.checkpoint import CheckpointError
from vqgan.engine import pick_device
from vqgan.loop import Checkpoints, go_on
from vqgan.recipe import TokenizerTrainConfig


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
