"""Model folders from checkpoints of the second stage and of the contrastive estimator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import torch

from ufc.model.transformer import UFCConfig, UFCTransformer
from ufc.pipeline import UFCPipeline
from ufc.training.config import TrainConfig
from ufc.training.contrastive_training import ContrastiveTrainConfig, finish, start
from ufc.training.outcome import write_result
from ufc.training.setup import (
    load_text,
    load_tokenizer,
    run_defaults,
    start_model,
    tasks_of_run,
    upscaler_of_run,
)
from ufc.training.trainer import adapted
from ufc_base.checkpoint import CheckpointError
from ufc_base.data.datasets import open_dataset
from ufc_base.data.opening import reading_of
from ufc_base.training.checkpoints import go_on
from vqgan.training.export import load_averages, read_averages


def export_model(config: TrainConfig, checkpoint: Path, dtype: torch.dtype | None = None) -> Path:
    """Write a checkpoint's averaged transformer as a whole model to `config.output_dir`.

    Returns that folder. The tokenizer is taken from where the run took it, the words from the run.

    Raises:
        CheckpointError: the checkpoint or the tokenizer cannot be used.
    """
    state = read_averages(checkpoint, config.output_dir, "a generator", "objectives", "banks")
    tokenizer = load_tokenizer(config)

    def no_words() -> NoReturn:
        raise CheckpointError(f"{checkpoint.parent} has no tokenizer.json, the run's vocabulary")

    text = load_text(replace(config, output_dir=str(checkpoint.parent)), no_words, again=True)
    if "config" in state:
        model = adapted(UFCTransformer(UFCConfig.from_dict(state["config"])), config)
    else:
        model = start_model(config, tokenizer, text)
    load_averages(model, state)
    tasks = tasks_of_run(config, checkpoint.parent)
    defaults, upscaler = run_defaults(config), upscaler_of_run(config)
    pipeline = UFCPipeline(tokenizer, model, text, defaults, tasks=tasks, upscaler=upscaler)
    return write_result(pipeline, config, dtype)


def export_contrastive(
    config: ContrastiveTrainConfig, checkpoint: Path, dtype: torch.dtype | None = None
) -> Path:
    """Write a checkpoint's averaged towers, calibrated on the training pairs; returns the folder.

    Raises:
        DataError: unusable data.
        CheckpointError: the checkpoint or the model it started from cannot be used.
    """
    state = read_averages(checkpoint, config.output_dir, "a contrastive estimator", "stage")
    samples = open_dataset(config.training_data, reading_of(config), "train")
    trainer, minibatches, text = start(config, samples)
    go_on(trainer, state)
    finish(trainer, minibatches, text).save_pretrained(config.output_dir, dtype)
    return Path(config.output_dir)
