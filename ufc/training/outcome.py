"""What comes of a run of the second stage, a model or an adapter, and its way to the hub."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from ufc.adapters import save_adapter
from ufc.io.model_card import adapter_card
from ufc.io.serialisation import HubError, upload
from ufc.pipeline import UFCPipeline
from ufc.training.config import TrainConfig
from ufc_base.files import write_text


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


def hub_name(config: TrainConfig) -> str:
    """The repository that a run is pushed to."""
    return config.hub_model_id or Path(config.output_dir).resolve().name


def make_repository(name: str, private: bool) -> None:
    """Make the repository before anything is computed for it, so that a wrong token is told now.

    Raises:
        HubError: the hub refuses it or cannot be reached.
    """
    from huggingface_hub import HfApi

    try:
        HfApi().create_repo(name, private=private, exist_ok=True)
    except Exception as error:  # the hub client raises many unrelated types
        raise HubError(
            f"push_to_hub: cannot make {name!r} ({type(error).__name__}: {error!s:.300}); check "
            "the name, the network and the token (`hf auth login`, or HF_TOKEN)"
        ) from error


def push_result(pipeline: UFCPipeline, config: TrainConfig) -> str:
    """Upload what was trained, with a card; returns the commit's address.

    Raises:
        HubError: the hub refuses it or cannot be reached; what was trained is in the run's folder.
    """
    name, private = hub_name(config), config.hub_private_repo
    if not config.lora_rank:
        return pipeline.push_to_hub(name, private=private)
    with TemporaryDirectory() as folder:
        save_adapter(pipeline.transformer, Path(folder))
        card = adapter_card(name, str(config.init_from), config.lora_rank)
        write_text(Path(folder) / "README.md", card)
        return upload(folder, name, private)
