"""Trainings of both stages that take a second, for tests of several folders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from conftest import TINY_VQGAN

from ufc.training.config import TrainConfig
from vqgan.model import VQGAN
from vqgan.training.config import TokenizerTrainConfig


def tokenizer_config(data: Path, out: Path, **changes: object) -> TokenizerTrainConfig:
    names = ("resolution", "ch", "ch_mult", "num_res_blocks", "attn_resolutions", "z_channels",
             "embed_dim", "n_embed", "norm_groups", "patch_size")  # fmt: skip
    sizes = {name: getattr(TINY_VQGAN, name) for name in names}
    config = TokenizerTrainConfig(
        train_data_dir=str(data), output_dir=str(out), train_batch_size=4, max_train_steps=24,
        perceptual_net="none", codebook_start=4, lr_warmup_steps=2, learning_rate=3e-3,
        discriminator_start=0.5, checkpointing_steps=12, validation_steps=12, logging_steps=6,
        device="cpu",
        **sizes,
    )  # fmt: skip
    return replace(config, **changes)


def model_config(data: Path, tokenizer: Path, out: Path, **changes: object) -> TrainConfig:
    config = TrainConfig(
        train_data_dir=str(data), tokenizer=str(tokenizer), output_dir=str(out), width=32, depth=1,
        heads=2, feed_forward=48, text_vocabulary=300, train_batch_size=4, max_train_steps=12,
        estimator_start=0.0, estimator_steps=3, estimator_samples=4,
        checkpointing_steps=6, validation_steps=6, logging_steps=3,
        validation_prompts=("red bag",), neighbour_keys=("type",), lr_warmup_steps=2, device="cpu",
    )  # fmt: skip
    return replace(config, **changes)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return VQGAN.from_pretrained(folder).state_dict()


def kill_after(step, count):  # type: ignore[no-untyped-def]
    calls = []

    def killed(self, *arguments):  # type: ignore[no-untyped-def]
        calls.append(0)
        if len(calls) > count:
            raise KeyboardInterrupt
        return step(self, *arguments)

    return killed
