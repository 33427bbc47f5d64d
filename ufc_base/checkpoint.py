"""Model folders: `config.json` beside safetensors weights, checked on the way in.

Weights may be split into several files with an index, in the layout of the Hugging Face hub.
Pickles are never read here; `vqgan.convert` turns them into safetensors.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import torch
from huggingface_hub import save_torch_state_dict
from safetensors.torch import load, load_file
from torch import Tensor, nn
from torch.nn.modules import module as registration

from ufc_base.files import naming, sync_folder, write_text
from ufc_base.formats.json_text import load_json
from ufc_base.visible_text import OneLineError

Module = TypeVar("Module", bound=nn.Module)


class CheckpointError(OneLineError):
    """A model folder that cannot be used; the message says what was found, and the remedy."""


def save_module(
    module: nn.Module,
    config: dict[str, Any],
    folder: str | PathLike[str],
    *,
    dtype: torch.dtype | None = None,
    max_shard_size: int | str = "1GB",
    variant: str | None = None,
    state: Mapping[str, Tensor] | None = None,
) -> None:
    """Write the weights, floating-point ones cast to `dtype` if given, and then `config.json`.

    Those of a `variant`, such as fp16, lie beside the others under its name. `state` has the
    weights, where they are not the module's as it stands.
    """
    folder = Path(folder)
    weights = module.state_dict() if state is None else state
    state = {name: cast(value, dtype) for name, value in weights.items()}
    write_weights(folder, state, max_shard_size, variant)
    write_text(folder / "config.json", json.dumps(config, indent=2) + "\n")


def write_weights(
    folder: Path,
    state: dict[str, Tensor],
    max_shard_size: int | str,
    variant: str | None = None,
) -> None:
    """Weight files in place of those of a folder, each there wholly or not at all.

    The index comes last, and what belonged to the weights before goes after that: all variants,
    but where one is written only itself.
    """
    if variant is not None and not re.fullmatch(r"\w{1,32}", variant):
        raise CheckpointError(f"variant {variant!r:.60} is no name: give letters, such as fp16")
    own = "model" if variant is None else f"model.{variant}"
    pattern = f"{own}{{suffix}}.safetensors"
    index = f"{own}.safetensors.index.json"
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".weights-*"):  # of a run that was killed
        shutil.rmtree(left, ignore_errors=True)
    with naming(folder), TemporaryDirectory(prefix=".weights-", dir=folder) as partial:
        save_torch_state_dict(
            state, partial, max_shard_size=max_shard_size, filename_pattern=pattern
        )
        if (Path(partial) / index).is_file():
            (Path(partial) / index).rename(Path(partial) / weight_names(variant)[1])
        written = sorted(Path(partial).iterdir(), key=lambda path: (path.suffix == ".json", path))
        for path in written:
            with path.open("rb+") as file:
                os.fsync(file.fileno())
        for path in written:
            path.replace(folder / path.name)
    names = {path.name for path in written}
    for stale in (*folder.glob(f"{own}*.safetensors*"), folder / weight_names(variant)[1]):
        if stale.name not in names:
            stale.unlink(missing_ok=True)
    sync_folder(folder)


def split_weights(folder: str | PathLike[str], max_shard_size: str) -> list[str]:
    """Write a folder's weights anew in files of at most this size ("16MB"); returns their names.

    Files and `model.safetensors.index.json` are laid out as on the Hugging Face hub.
    """
    folder = Path(folder)
    state = {name: value.clone() for name, value in read_weights(folder).items()}
    write_weights(folder, state, max_shard_size)
    return weight_files(folder)


def cast(value: Tensor, dtype: torch.dtype | None) -> Tensor:
    if dtype is not None and value.is_floating_point():
        value = value.to(dtype)
    return value.detach().cpu().contiguous()


def load_module(
    folder: str | PathLike[str],
    build: Callable[[dict[str, Any]], Module],
    variant: str | None = None,
    old_names: Mapping[str, str] | None = None,
    mmap: bool = True,
) -> Module:
    """Build a module from the folder's config and load its weights strictly, as float32.

    With a `variant`, such as fp16, they are those of `model.fp16.safetensors`. `old_names` says
    what the beginnings of names in earlier files are today. Without `mmap` files are read as a
    whole, which is faster on some network drives.

    Raises:
        CheckpointError: config or weights are missing, damaged, or do not fit each other.
    """
    folder = Path(folder)
    config = read_json(folder / "config.json")
    state = renamed(read_weights(folder, variant, mmap), old_names or {})
    module = built_for(state, lambda: build(config), folder / "config.json")
    load_strictly(module, state, folder)
    return module


def built_for(
    state: Mapping[str, Tensor], build: Callable[[], Module], where: str | PathLike[str]
) -> Module:
    """A module that is to take these weights; one that needs far more is not built to its end.

    Raises:
        CheckpointError: its config, at `where`, is unsound, or asks for what the weights are not.
    """
    try:
        with at_most(sum(value.numel() for value in state.values()), len(state)):
            return build()
    except (
        TypeError, ValueError, ArithmeticError, RuntimeError, LookupError, AttributeError,
        MemoryError,
    ) as error:  # sizes of 0, below 0, of other types  # fmt: skip
        raise CheckpointError(f"{where}: {error!s:.300}") from error


def refuse_sizes(config: Any, **most: int) -> None:
    """Raise `ValueError` for numbers of a config dataclass that no model has.

    None is negative. `most` has the limits by name, for lists those of their lengths; other numbers
    have 2^24.
    """
    for field in fields(config):
        name, value = field.name, getattr(config, field.name)
        limit = most.get(name, 2**24)
        wanted = type(field.default) if isinstance(field.default, int) else None
        if wanted and type(value) is not wanted and not isinstance(value, tuple | list):
            raise ValueError(f"{name} is {value!r:.40}, wanted a value of type {wanted.__name__}")
        if isinstance(value, tuple | list) and len(value) > min(limit, 64):
            raise ValueError(f"{name} has {len(value)} numbers, wanted {min(limit, 64)} at most")
        for one in value if isinstance(value, tuple | list) else (value,):
            if isinstance(one, float) and not math.isfinite(one):
                raise ValueError(f"{name} is {one}, wanted a finite number")
            if isinstance(one, int) and one > limit:
                raise ValueError(f"{name} is {float(min(one, 10**300)):g}, wanted {limit} at most")
            if isinstance(one, int | float) and one < 0:
                raise ValueError(f"{name} is {float(max(one, -(10**300))):g}, wanted 0 at least")


@contextmanager
def at_most(values: int, tensors: int) -> Iterator[None]:
    """Raise `ValueError` as soon as modules that this thread builds need more than these weights.

    Memory of a weight is not touched before it is registered, so that a config that asks for
    terabytes costs nothing.
    """
    left = [2 * values + 2**22, 4 * tensors + 1000]  # weights that are shared or made anew
    own = threading.get_ident()

    def count(module: nn.Module, name: str, value: Tensor | None) -> None:
        if value is None or threading.get_ident() != own:
            return
        left[0] -= value.numel()
        left[1] -= 1
        if min(left) < 0:
            raise ValueError(
                f"its sizes ask for far more weights than the {values:,} that there are: "
                "was it taken from another model?"
            )

    handles = (
        registration.register_module_parameter_registration_hook(count),
        registration.register_module_buffer_registration_hook(count),
    )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def renamed(state: dict[str, Tensor], old_names: Mapping[str, str]) -> dict[str, Tensor]:
    """Weights under today's names."""
    for old, new in old_names.items():
        state = {
            new + name.removeprefix(old) if name.startswith(old) else name: value
            for name, value in state.items()
        }
    return state


def load_strictly(module: nn.Module, state: dict[str, Tensor], where: str | PathLike[str]) -> None:
    """Copy weights into `module`.

    Raises:
        CheckpointError: they do not fit; every missing, unexpected or misshapen key is listed.
    """
    expected = module.state_dict()
    missing = sorted(set(expected) - set(state))
    unexpected = sorted(set(state) - set(expected))
    misshapen = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(expected[name].shape)}"
        for name in sorted(set(expected) & set(state))
        if state[name].shape != expected[name].shape
    ]
    if missing or unexpected or misshapen:
        raise CheckpointError(
            f"the weights in {where} do not fit its config: missing keys {some(missing)}; "
            f"unexpected keys {some(unexpected)}; wrong shapes {some(misshapen)}. "
            "Was config.json taken from another model?"
        )
    refuse_not_finite(state, where)
    try:
        module.load_state_dict(state)
    except (RuntimeError, TypeError, ValueError) as error:  # of another kind of numbers
        raise CheckpointError(f"the weights in {where} cannot be taken: {error!s:.300}") from error


def refuse_not_finite(state: Mapping[str, Tensor], where: str | PathLike[str]) -> None:
    """Raise `CheckpointError` for weights that hold NaN or infinity."""
    unsound = [
        name
        for name, value in state.items()
        if value.is_floating_point() and not bool(value.isfinite().all())
    ]
    if unsound:
        raise CheckpointError(
            f"the weights in {where} are not finite ({some(unsound)}): take an earlier checkpoint, "
            "or fetch the model again"
        )


def some(names: list[str], most: int = 12) -> str:
    """Names for a message, not all of them where there are many."""
    shown = ", ".join(repr(name[:80]) for name in names[:most])
    return f"[{shown}{f' and {len(names) - most} more' * (len(names) > most)}]" if names else "none"


def read_weights(folder: Path, variant: str | None = None, mmap: bool = True) -> dict[str, Tensor]:
    """All tensors of a folder, split or whole."""
    state: dict[str, Tensor] = {}
    for name in weight_files(folder, variant):
        state.update(read_safetensors(folder / name, mmap))
    return state


def weight_names(variant: str | None = None) -> tuple[str, str]:
    """What whole weights are called, and the index of split ones, as on the Hugging Face hub."""
    if variant is None:
        return "model.safetensors", "model.safetensors.index.json"
    return f"model.{variant}.safetensors", f"model.safetensors.index.{variant}.json"


def weight_files(folder: Path, variant: str | None = None) -> list[str]:
    """Names of a folder's weight files: one, or those its index lists.

    Raises:
        CheckpointError: the index is none, or names files elsewhere.
    """
    whole, listing = weight_names(variant)
    index = folder / listing
    if not index.is_file():
        return [whole]
    named = read_json(index).get("weight_map")
    if not isinstance(named, dict) or not named:
        raise CheckpointError(f"{index} has no weight_map: fetch or export the model again")
    names = {str(name) for name in named.values()}
    outside = sorted(name[:80] for name in names if Path(name).name != name or "\0" in name)
    if outside:
        raise CheckpointError(f"{index} names files outside of its folder: {some(outside)}")
    return sorted(names)


def read_safetensors(path: Path, mmap: bool = True) -> dict[str, Tensor]:
    """Tensors of one file. Raises `CheckpointError` if it is missing, damaged or a pickle."""
    if not path.is_file():
        pickles = sorted(p.name for p in path.parent.glob("*") if is_pickle(p))
        hint = (
            f"; found {pickles}: run `python -m vqgan.convert` to turn a pickle into safetensors"
            if pickles
            else ""
        )
        raise CheckpointError(f"no weights at {path}{hint}")
    if is_pickle(path):
        raise CheckpointError(
            f"{path} is a pickle, which could run code when read: "
            "convert it with `python -m vqgan.convert`"
        )
    try:
        return load_file(path) if mmap else load(path.read_bytes())
    except Exception as error:  # headers can be wrong in any way
        raise CheckpointError(
            f"{path} is truncated or damaged ({error!s:.300}): fetch or export it again"
        ) from error


def is_pickle(path: Path) -> bool:
    """Whether a file begins like a pickle or a zip of pickles (torch.save)."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        head = stream.read(4)
    return head[:2] in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; `CheckpointError` if there is none."""
    try:
        values = load_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist: is {path.parent} a model folder?") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is not valid JSON ({error})") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} holds a {type(values).__name__}, wanted an object")
    return values


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
