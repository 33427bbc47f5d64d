"""Trainings of both stages."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from toy_training import model_config, tokenizer_config

import ufc.training.trainer as second_stage
import vqgan.training.trainer as first_stage
from ufc_base.training.checkpoints import Checkpoints
from ufc_base.training.stopping import Stopped

from .base import Job, Work, whole_files
from .models import Models, sound_model

SPEED = ("seconds", "samples_per_second", "minutes")  # what differs between equal runs


def train_tokenizer(models: Models, folder: Path) -> object:
    config = tokenizer_config(
        models.data, folder / "run", max_train_steps=16, checkpointing_steps=4, validation_steps=8,
        logging_steps=3, codebook_start=2, mixed_precision="no",
    )  # fmt: skip
    return trained(first_stage.main, config)


def train(models: Models, folder: Path) -> object:
    config = model_config(
        models.data, models.model, folder / "run", max_train_steps=10, checkpointing_steps=3,
        validation_steps=5, logging_steps=2, mixed_precision="no", val_data_dir=str(models.data),
    )  # fmt: skip
    return trained(second_stage.main, config)


def trained(main: Callable[[Any], object], config: Any) -> object:
    """Begin, or go on; what is finished is let be."""
    out = Path(config.output_dir)
    finished = any((out / name).is_file() for name in ("config.json", "model_index.json"))
    latest = Checkpoints(out).numbers()[-1:]
    if finished and latest == [config.max_train_steps] and sound_model(out):
        return None
    try:
        return main(replace(config, resume_from_checkpoint="latest"))
    except Stopped as stopped:
        raise SystemExit(stopped.code) from None


def run_state(folder: Path) -> Any:
    """The model, the last checkpoint's number, and every line of the log but for speed.

    A run that is asked to stop writes a checkpoint where it stops, which the whole one has not.
    """
    run = folder / "run"
    files = {
        path.relative_to(run).as_posix(): path.read_bytes() for path in sorted(run.rglob("model.*"))
    }
    lines = (run / "metrics.jsonl").read_text().splitlines()
    rows = [{k: v for k, v in json.loads(line).items() if k not in SPEED} for line in lines]
    previews = sorted(path.name for path in run.glob("*.png"))
    return files, rows, Checkpoints(run).numbers()[-1:], previews


def jobs(models: Models) -> dict[str, Job]:
    return {
        "train-tokenizer": Work(partial(train_tokenizer, models), run_state, whole_files),
        "train": Work(partial(train, models), run_state, whole_files),
    }
