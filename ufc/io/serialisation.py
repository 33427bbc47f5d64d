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
from ufc.io.diffusers_code import PART_CLASSES, PART_MODULE, PIPELINE_MODULE, write_code
from ufc.io.hub import check_hashes
from ufc.io.model_card import write_card
from ufc.io.validation import RequestError
from ufc.model.transformer import UFCTransformer
from ufc.sampling.generation_config import DEFAULTS, check_settings, current_names
from ufc_base.checkpoint import CheckpointError, read_json, weight_names
from ufc_base.files import write_text
from ufc_base.publishing.cards import DEFAULT_LICENCE
from ufc_base.publishing.upload import upload
from vqgan.model import VQGAN
from vqgan.upscaling.model import Upscaler

if TYPE_CHECKING:
    from ufc.pipeline.parts import Parts

UPSCALER = "upscaler"  # the part of a model folder that not every model has
VARIANTS = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


def read_parts(
    folder: Path,
    variant: str | None = None,
    given: Mapping[str, Any] | None = None,
    mmap: bool = True,
) -> dict[str, Any]:
    """Tokenizer, transformer, text and default settings of a model folder, by these names.

    A part takes the weights of the `variant` where it has them; those `given` are not read.

    Raises:
        CheckpointError: files that are missing, damaged, changed or do not fit; no part has the
            variant.
    """
    defaults = read_defaults(folder)
    check_hashes(folder)
    found = {name: part for name, part in (given or {}).items() if part is not None}
    kinds: dict[str, type[VQGAN] | type[UFCTransformer]]
    kinds = {"tokenizer": VQGAN, "transformer": UFCTransformer}
    missing = [name for name in kinds if name not in found]
    having = [name for name in missing if has_variant(folder / name, variant)]
    if variant is not None and missing and not having:
        raise CheckpointError(
            f"no part of {folder} has a {weight_names(variant)[0]}: leave the variant out"
        )
    for name in missing:
        own = variant if name in having else None
        found[name] = kinds[name].from_pretrained(folder / name, own, mmap)
    if "text" not in found:
        found["text"] = TextTokenizer.load(folder / "tokenizer.json")
    return found | {"defaults": defaults}


def read_upscaler(folder: Path, variant: str | None = None, mmap: bool = True) -> Upscaler | None:
    """The upscaler of a model folder, whose hashes are checked; None where it has none.

    Raises:
        CheckpointError: it is damaged.
    """
    part = folder / UPSCALER
    if not part.is_dir():
        return None
    return Upscaler.from_pretrained(part, variant if has_variant(part, variant) else None, mmap)


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


def model_index(pipeline: Parts) -> dict[str, Any]:
    """What `model_index.json` says: the parts and their classes, defaults, tasks learnt, domain."""
    index: dict[str, Any] = {"_class_name": [PIPELINE_MODULE, "UFCPipeline"]}
    for name in pipeline.components:
        index[name] = [PART_MODULE, PART_CLASSES[name]]
    index["defaults"] = dict(pipeline.defaults)
    if pipeline.tasks.instructions:
        index["tasks"] = pipeline.tasks.to_json()
    if pipeline.tasks.domain:
        index["domain"] = dict(pipeline.tasks.domain)
    return index


def write_parts(
    pipeline: Parts,
    folder: str | PathLike[str],
    dtype: torch.dtype | None = None,
    variant: str | None = None,
    max_shard_size: int | str | None = None,
) -> None:
    """Write the model folder: `model_index.json`, one folder a component, `tokenizer.json`.

    Beside them lies the code by which diffusers loads it. A `variant` that names a precision is
    written in it, where no `dtype` says otherwise.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    dtype = VARIANTS.get(variant or "") if dtype is None else dtype
    for name, part in pipeline.components.items():
        if name != "text":
            part.save_pretrained(folder / name, dtype, variant, max_shard_size or "1GB")
    pipeline.text.save(folder / "tokenizer.json")
    write_code(folder, pipeline.components)
    write_text(folder / "model_index.json", json.dumps(model_index(pipeline), indent=2) + "\n")


def push(
    pipeline: Parts,
    repo_id: str,
    private: bool | None = None,
    token: str | bool | None = None,
    *,
    licence: str = DEFAULT_LICENCE,
    commit_message: str | None = None,
    create_pr: bool = False,
    variant: str | None = None,
    dtype: torch.dtype | None = None,
) -> str:
    """Upload the model folder, with a card, to the Hugging Face hub; the commit's address."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        write_parts(pipeline, folder, dtype, variant)
        write_card(pipeline, Path(folder), repo_id, licence)
        return upload(
            folder, repo_id, private, token, commit_message=commit_message, create_pr=create_pr
        )
