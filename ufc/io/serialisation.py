"""Model folders to and from the parts of a pipeline, and their way to the hub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ufc.captioning.known_tasks import KnownTasks, read_tasks
from ufc.conditioning.text import TextTokenizer
from ufc.io.hub import check_hashes
from ufc.io.validation import RequestError
from ufc.model.transformer import UFCTransformer
from ufc.sampling.generation_config import DEFAULTS, check_settings, current_names
from ufc_base.checkpoint import CheckpointError, read_json, weight_names
from ufc_base.files import write_text
from vqgan.model import VQGAN
from vqgan.upscaling.model import Upscaler

if TYPE_CHECKING:
    from ufc.pipeline import UFCPipeline

UPSCALER = "upscaler"  # the part of a model folder that not every model has


def read_parts(
    folder: Path, variant: str | None = None
) -> tuple[VQGAN, UFCTransformer, TextTokenizer, dict[str, Any]]:
    """Tokenizer, transformer, text and default settings of a model folder.

    A part takes the weights of the `variant` where it has them.

    Raises:
        CheckpointError: files that are missing, damaged, changed or do not fit; no part has the
            variant.
    """
    defaults = read_defaults(folder)
    check_hashes(folder)
    tokenizer, transformer = folder / "tokenizer", folder / "transformer"
    having = [part for part in (tokenizer, transformer) if has_variant(part, variant)]
    if variant is not None and not having:
        raise CheckpointError(
            f"no part of {folder} has a {weight_names(variant)[0]}: leave the variant out"
        )
    return (
        VQGAN.from_pretrained(tokenizer, variant if tokenizer in having else None),
        UFCTransformer.from_pretrained(transformer, variant if transformer in having else None),
        TextTokenizer.load(folder / "tokenizer.json"),
        defaults,
    )


def read_upscaler(folder: Path, variant: str | None = None) -> Upscaler | None:
    """The upscaler of a model folder, whose hashes are checked; None where it has none.

    Raises:
        CheckpointError: it is damaged.
    """
    part = folder / UPSCALER
    if not part.is_dir():
        return None
    return Upscaler.from_pretrained(part, variant if has_variant(part, variant) else None)


def read_defaults(folder: Path) -> dict[str, Any]:
    """The sampling defaults of a model folder. Raises `CheckpointError` where they are unsound."""
    defaults = read_json(folder / "model_index.json").get("defaults") or {}
    if not isinstance(defaults, dict):
        raise CheckpointError(f"{folder / 'model_index.json'}: its defaults are no JSON object")
    return defaults


def known_tasks(folder: Path) -> KnownTasks:
    """The tasks beside images that a model folder has learnt.

    Raises:
        CheckpointError: they are unsound.
    """
    return read_tasks(read_json(folder / "model_index.json"))


def checkpoint_defaults(defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults that a model folder names, as far as this version knows them.

    Raises:
        CheckpointError: one is of another type or out of its range.
    """
    try:
        named = current_names(defaults)
        return check_settings({name: named[name] for name in DEFAULTS if name in named})
    except RequestError as error:
        raise CheckpointError(f"the model's own defaults are damaged: {error}") from None


def has_variant(folder: Path, variant: str | None) -> bool:
    """Whether a part of a model has weights of this name."""
    return any((folder / name).is_file() for name in weight_names(variant))


def write_parts(
    pipeline: UFCPipeline, folder: str | PathLike[str], dtype: torch.dtype | None
) -> None:
    """Write the model folder: `model_index.json`, one folder a component, `tokenizer.json`."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    pipeline.tokenizer.save_pretrained(folder / "tokenizer", dtype)
    pipeline.transformer.save_pretrained(folder / "transformer", dtype)
    pipeline.text.save(folder / "tokenizer.json")
    index = {
        "_class_name": "UFCPipeline",
        "tokenizer": ["vqgan.model", "VQGAN"],
        "transformer": ["ufc.model.transformer", "UFCTransformer"],
        "text": ["ufc.conditioning.text", "TextTokenizer"],
        "defaults": pipeline.defaults,
    }
    if pipeline.upscaler is not None:
        pipeline.upscaler.save_pretrained(folder / UPSCALER, dtype)
        index[UPSCALER] = ["vqgan.upscaling.model", "Upscaler"]
    if pipeline.tasks.instructions:
        index["tasks"] = pipeline.tasks.to_json()
    write_text(folder / "model_index.json", json.dumps(index, indent=2) + "\n")


def push(pipeline: UFCPipeline, repo_id: str, private: bool, token: str | None) -> str:
    """Upload the model folder to the Hugging Face hub; returns the address of the commit."""
    import tempfile

    from huggingface_hub import HfApi

    api = HfApi(token=token)
    api.create_repo(repo_id, private=private, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        write_parts(pipeline, folder, None)
        return str(api.upload_folder(repo_id=repo_id, folder_path=folder))
