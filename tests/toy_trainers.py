"""All five trainers at their smallest, for what they have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from conftest import TINY_VQGAN
from toy_training import model_config, tokenizer_config

import estimators.contradiction.training as trees_training
import ufc.training.contrastive_training as towers_training
import ufc.training.trainer
import vqgan.training.trainer as first_stage
import vqgan.upscaling.trainer as upscaling
from estimators.contradiction.training import ContradictionTrainConfig
from ufc.training.contrastive_training import ContrastiveTrainConfig
from vqgan.model import VQGAN
from vqgan.upscaling.config import UpscalerTrainConfig

COMMANDS = (
    "train-tokenizer", "train", "train-contrastive", "train-contradiction", "train-upscaler",
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """A trainer of all: its command, settings for a folder, and where its steps are."""

    command: str
    config: Callable[[Path], Any]
    main: Callable[[Any], object]
    trainer: type


def toy_trainer(command: str, data: Path, model: Path) -> Kind:
    """The trainer of a command, on a folder of pictures, with a tiny model where it needs one."""
    often: dict[str, Any] = {"max_train_steps": 8, "checkpointing_steps": 2, "logging_steps": 1}

    def first(folder: Path) -> Any:
        later = {"validation_steps": 99, "codebook_start": 1, "mixed_precision": "no"}
        return tokenizer_config(data, folder, **often, **later)

    def second(folder: Path) -> Any:
        later = {"validation_steps": 99, "validation_prompts": (), "mixed_precision": "no"}
        return model_config(data, model, folder, **often, **later)

    def towers(folder: Path) -> Any:
        return ContrastiveTrainConfig(
            train_data_dir=str(data), model=str(model), output_dir=str(folder), image_width=16,
            text_width=16, text_depth=1, embedding=8, train_batch_size=4, frozen_steps=3, **often,
        )  # fmt: skip

    def trees(folder: Path) -> Any:
        return ContradictionTrainConfig(
            train_data_dir=str(data), output_dir=str(folder), embedding=4, channels=8, hidden=8,
            train_batch_size=4, pairs=30, **often,
        )  # fmt: skip

    def upscaler(folder: Path) -> Any:
        if not (folder.parent / "eight").is_dir():
            VQGAN(replace(TINY_VQGAN, resolution=8)).save_pretrained(folder.parent / "eight")
        return UpscalerTrainConfig(
            train_data_dir=str(data), tokenizer=str(folder.parent / "eight"),
            output_dir=str(folder), width=4, depth=1, crop_pixels=8, perceptual_net="none",
            train_batch_size=4, validation_steps=99, mixed_precision="no", device="cpu", **often,
        )  # fmt: skip

    kinds = {
        "train-tokenizer": (first, first_stage.main, first_stage.TokenizerTrainer),
        "train": (second, ufc.training.trainer.main, ufc.training.trainer.Trainer),
        "train-contrastive": (towers, towers_training.main, towers_training.Trainer),
        "train-contradiction": (trees, trees_training.main, trees_training.Trainer),
        "train-upscaler": (upscaler, upscaling.main, upscaling.UpscalerTrainer),
    }
    return Kind(command, *kinds[command])  # type: ignore[arg-type]
