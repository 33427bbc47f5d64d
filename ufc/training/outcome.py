"""What comes of a run of the second stage, a model or an adapter, and its way to the hub."""

from __future__ import annotations

from pathlib import Path

import torch

from ufc.adapters import save_adapter
from ufc.io.model_card import adapter_card, model_card
from ufc.pipeline import UFCPipeline
from ufc.training.config import PROMPTS, TrainConfig
from ufc_base.publishing.upload import push_result
from ufc_base.training.run_settings import kept


def write_result(
    pipeline: UFCPipeline, config: TrainConfig, dtype: torch.dtype | None = None
) -> Path:
    """Write what was trained to the run's folder, and return that."""
    folder = Path(config.output_dir)
    if config.lora_rank:
        save_adapter(pipeline.transformer, folder)
    else:
        pipeline.save_pretrained(folder, dtype)
    return folder


def publish(pipeline: UFCPipeline, config: TrainConfig) -> None:
    """Upload what was trained, with a card, if it is to be pushed.

    Raises:
        HubError: the hub refuses it or cannot be reached; what was trained is in the run's folder.
    """
    settings = kept(config)
    if config.lora_rank:
        push_result(
            config,
            lambda folder: save_adapter(pipeline.transformer, folder),
            lambda name: adapter_card(name, settings, caption_to_ask_with(config)),
        )
    else:
        push_result(
            config,
            pipeline.save_pretrained,
            lambda name: model_card(pipeline, name, settings=settings),
        )


def caption_to_ask_with(config: TrainConfig) -> str | None:
    """The first prompt of a run's previews, unless they are those that every run has."""
    prompts = config.validation_prompts
    return prompts[0] if prompts and tuple(prompts) != PROMPTS else None
