"""What `from_pretrained` is told of precision and place, in this program's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ufc.model.quantisation import DTYPES, PRECISIONS

_LONG = {"float32": "fp32", "float": "fp32", "bfloat16": "bf16", "float16": "fp16", "half": "fp16"}
_WHEREVER = ("auto", "balanced")  # maps of a model that is never split: the best device


def precision_name(dtype: Any) -> str:
    """`auto`, `fp32`, `bf16`, `fp16` or `int8`, from that, a torch dtype, or its name.

    Of several for the components by name, as diffusers takes them, that of the transformer counts,
    or `default`: the tokenizer stays in float32.

    Raises:
        ValueError: none of these.
    """
    if isinstance(dtype, Mapping):
        unknown = set(dtype) - {"transformer", "tokenizer", "vqvae", "upscaler", "default"}
        if unknown:
            raise ValueError(f"torch_dtype names {sorted(unknown)}, which are no components")
        return precision_name(dtype.get("transformer", dtype.get("default", torch.float32)))
    for name, value in DTYPES.items():
        if dtype is value:
            return name
    word = str(dtype).removeprefix("torch.")
    word = _LONG.get(word, word)
    if word not in PRECISIONS or not isinstance(dtype, str):
        known = ", ".join(f"torch.{name}" for name in ("float32", "bfloat16", "float16"))
        raise ValueError(
            f"dtype {dtype!r} is unknown; choose one of {', '.join(PRECISIONS)}, {known}"
        )
    return word


def one_of_two(first: tuple[str, Any], second: tuple[str, Any]) -> Any:
    """The value of two names of one thing, None where neither says one.

    Raises:
        ValueError: they differ.
    """
    (name, value), (other, more) = first, second
    if value is not None and more is not None and value != more:
        raise ValueError(f"got both {name}={value!r} and {other}={more!r}; give one of them")
    return more if value is None else value


def mapped_device(device: Any, device_map: Any) -> str:
    """The one device of a model, from `device` and diffusers' `device_map`.

    Raises:
        ValueError: a map that splits it.
    """
    if device_map is not None and not isinstance(device_map, str | torch.device):
        raise ValueError(
            f"device_map is {device_map!r:.80}, wanted one place for the whole model, such as "
            '"cuda", "cpu" or "balanced"'
        )
    place = None if device_map is None else str(device_map)
    place = "auto" if place in _WHEREVER else place
    found = one_of_two(("device", None if device is None else str(device)), ("device_map", place))
    return "auto" if found is None else str(found)


def check_safetensors(use_safetensors: bool | None) -> None:
    """Raise `ValueError` where pickles are asked for: there are none, and none would be read."""
    if use_safetensors is False:
        raise ValueError(
            "use_safetensors is False, and models here are safetensors alone: leave it out"
        )
