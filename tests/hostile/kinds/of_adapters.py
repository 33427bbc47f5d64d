"""Low-rank adapters: what their files say of them, and the shapes of their matrices."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch
from conftest import make_pipeline
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor
from toy_adapters import learnt

from ufc.adapters import METADATA, WEIGHTS, adapter_names
from ufc.pipeline import UFCPipeline

from .. import weights
from ..mutation import odd_json
from .base import Kind, Rng, only
from .of_models import header_of


@cache
def sound_adapter() -> Path:
    return learnt(0, Path(tempfile.mkdtemp(prefix="hostile-adapter-")))


@cache
def pipeline() -> UFCPipeline:
    return make_pipeline()


def write_adapter(rng: Rng, folder: Path) -> None:
    good = sound_adapter()
    if rng.random() < 0.3:
        data = weights.safetensors_of(rng, good.read_bytes())
    else:
        state, said = load_file(good), told(good)
        if rng.random() < 0.5:
            said = odd_json(rng, json.loads(said)).decode("utf-8", "replace")
        else:
            state = odd_matrices(rng, state)
        data = save(state, {METADATA: said})
    (folder / WEIGHTS).write_bytes(data)


def told(file: Path) -> str:
    with safe_open(file, "pt") as stream:
        return str(stream.metadata()[METADATA])


def odd_matrices(rng: Rng, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """One weight of another shape or kind or name; or all of the thin ones."""
    thin = [name for name in state if ".lora_A." in name]
    chosen = thin if rng.random() < 0.5 else [rng.choice(list(state))]
    shape: Any = rng.choice(
        ((), (0,), (0, 32), (2,), (2, 0), (2, 32, 1), (1, 1), (2000, 32), (2, 33))
    )
    kind = rng.choice(
        (torch.float32, torch.float32, torch.int64, torch.bool, torch.complex64, torch.float8_e5m2)
    )
    value = rng.choice((0.0, 1.0, 1e38, float("nan"), float("-inf")))
    if rng.random() < 0.2:
        name = rng.choice(("", "x", "transformer.x.lora_A.weight", "blocks.0.qkv.lora_A.weight",
                           "transformer.blocks.99.qkv.lora_A.weight", ".lora_A.weight"))  # fmt: skip
        return state | {name: torch.zeros(shape)}
    return state | {name: torch.full(shape, value).to(kind) for name in chosen}


def read_adapter(folder: Path) -> None:
    """Loaded and used, or refused; either way the next one finds the model without adapters."""
    pipe = pipeline()
    try:
        pipe.load_lora_weights(folder)
        pipe.fuse_lora()
    finally:
        pipe.unfuse_lora()
        left = adapter_names(pipe.transformer)
        pipe.unload_lora_weights()
    if left != ["default_0"]:
        raise AssertionError(f"there are adapters {left}")


def header_is_json(folder: Path) -> object:
    return header_of(only(folder))


KINDS = {
    "adapter": Kind(800, write_adapter, header_is_json, {"load_lora_weights": read_adapter}),
}
