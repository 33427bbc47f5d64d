"""A model folder from a checkpoint, for a run that has not come to its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ufc_base.checkpoint import CheckpointError
from ufc_base.training.checkpoints import FINISHED, STATE, Checkpoints, go_on, not_finite
from vqgan.model import VQGAN, VQGANConfig
from vqgan.training.config import TokenizerTrainConfig
from vqgan.training.starting import start_model


def find_checkpoint(where: str) -> Path:
    """A checkpoint-N folder as it is, or the newest one of a run's folder.

    Raises:
        CheckpointError: there is none.
    """
    path = Path(where)
    if (path / STATE).is_file():
        return path
    found = Checkpoints(path).find("latest")
    if found is None:
        raise CheckpointError(f"no checkpoint in {path}: give the folder of a run, or one in it")
    return found


def read_averages(checkpoint: Path, output: str, what: str, *marks: str) -> dict[str, Any]:
    """A trainer's state with sound averaged weights; one of `marks` is in this kind alone.

    Raises:
        CheckpointError: it is damaged, of another trainer, its weights are not finite, or `output`
            holds another model.
    """
    if Path(output).resolve() != checkpoint.parent.resolve():
        taken = [name for name in FINISHED if (Path(output) / name).is_file()]
        if taken:
            raise CheckpointError(f"{output} holds a model already: choose another --output-dir")
    state = Checkpoints(checkpoint.parent).load(str(checkpoint)) or {}
    trainer = state.get("trainer")
    if not isinstance(trainer, dict) or "average" not in trainer or not set(marks) & set(trainer):
        raise CheckpointError(f"{checkpoint} is not of {what}: export it by its own command")
    if unsound := not_finite(trainer["average"]["shadow"]):
        raise CheckpointError(
            f"{checkpoint}: {unsound[0]} is not finite: export an earlier checkpoint-N folder"
        )
    return trainer


def load_averages(module: torch.nn.Module, state: dict[str, Any]) -> None:
    """Load averaged weights. Raises `CheckpointError` where they are of other sizes."""
    go_on(module, state["average"]["shadow"])


def export_tokenizer(
    config: TokenizerTrainConfig, checkpoint: Path, dtype: torch.dtype | None = None
) -> Path:
    """Write a checkpoint's averaged tokenizer to `config.output_dir`, and return that folder.

    Raises:
        CheckpointError: the checkpoint cannot be used, or has no codes yet.
    """
    state = read_averages(checkpoint, config.output_dir, "a tokenizer", "quantised")
    if not state["quantised"]:
        raise CheckpointError(
            f"{checkpoint} has no codes yet: train on, to step {config.codebook_start} or later"
        )
    sizes = state.get("config")
    model = VQGAN(VQGANConfig.from_dict(sizes)) if sizes else start_model(config)
    load_averages(model, state)
    model.save_pretrained(config.output_dir, dtype)
    return Path(config.output_dir)
