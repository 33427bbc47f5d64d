"""Checkpoints of taming-transformers (Lightning pickles) to `config.json` + `model.safetensors`.

A pickle is a program. This reader knows five harmless words of that language: ordered
dictionaries, tensors, parameters, and the two kinds of number storage. Whatever else a checkpoint
names (Lightning callbacks, optimisers, an attack) becomes an inert placeholder; nothing outside
this file is looked up, imported or called.

    python -m vqgan.convert last.ckpt --config model.yaml --output-dir weights/my-vqgan
"""

from __future__ import annotations

import pickle
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, fields
from os import PathLike
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor

from ufc_base.checkpoint import CheckpointError, built_for, load_strictly, some
from ufc_base.formats.pickles import check_torch_file
from ufc_base.formats.yaml_text import load_yaml
from ufc_base.program import argument, option, program
from vqgan.model import VQGAN, VQGANConfig

LEFT_OUT = ("loss.",)  # LPIPS and the discriminator, which only training needs
STORAGE_DTYPES = {
    "BFloat16Storage": torch.bfloat16,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
    "CharStorage": torch.int8,
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
    "ShortStorage": torch.int16,
}
# Settings of taming's that this project has no switch for, and the only value it knows.
FIXED_SETTINGS = {"resamp_with_conv": True, "give_pre_end": False, "attn_type": "vanilla"}


@dataclass(frozen=True)
class Pickled:
    """What a checkpoint file held: its plain contents, and the names that were left inert."""

    contents: Any
    inert: tuple[str, ...]


def convert(
    checkpoint: str | PathLike[str], config: str | PathLike[str], folder: str | PathLike[str]
) -> Pickled:
    """Write a model folder from a taming checkpoint and its YAML. Returns what was read.

    Raises:
        CheckpointError: a file cannot be read, or the weights do not fit the config.
        FileExistsError: `folder` already holds a model.
    """
    folder = Path(folder)
    if (folder / "config.json").exists():
        raise FileExistsError(f"{folder} already holds a model: name another folder")
    sizes = read_taming_config(config)
    pickled = read_pickle(checkpoint)
    state = state_dict_of(pickled.contents, checkpoint)
    model = built_for(state, lambda: VQGAN(sizes), config)
    load_strictly(model, state, checkpoint)
    model.save_pretrained(folder)
    return pickled


def read_taming_config(path: str | PathLike[str]) -> VQGANConfig:
    """Sizes from a taming YAML: `model.params` with `ddconfig`, `embed_dim` and `n_embed`.

    Raises:
        CheckpointError: it is no such YAML, or asks for what this model cannot do.
    """
    try:
        document = load_yaml(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as YAML: {error}") from error
    try:
        params = document["model"]["params"]
        sizes = {"embed_dim": params["embed_dim"], "n_embed": params["n_embed"]}
        settings = dict(params["ddconfig"])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise CheckpointError(
            f"{path} has no model.params with embed_dim, n_embed and ddconfig ({error!r:.100}): "
            "give the YAML that the VQGAN was trained with"
        ) from error
    for name, value in FIXED_SETTINGS.items():
        if settings.pop(name, value) != value:
            raise CheckpointError(f"{path}: only {name}: {value} is supported")
    known = {field.name for field in fields(VQGANConfig)}
    unknown = sorted(str(name) for name in set(settings) - known)
    if unknown:
        raise CheckpointError(
            f"{path}: ddconfig has settings that are not supported: {some(unknown)}"
        )
    try:
        return VQGANConfig(**settings, **sizes)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise CheckpointError(f"{path}: {error!s:.300}") from error


def state_dict_of(contents: Any, where: str | PathLike[str]) -> dict[str, Tensor]:
    """The weights in what `read_pickle` returned, without those that only training needs.

    Raises:
        CheckpointError: there are none, or some value is no tensor.
    """
    found = contents.get("state_dict", contents) if isinstance(contents, Mapping) else None
    if not isinstance(found, Mapping) or not found:
        raise CheckpointError(f"{where} holds no state_dict: is it a Lightning checkpoint?")
    state = {str(k): v for k, v in found.items() if not str(k).startswith(LEFT_OUT)}
    others = sorted(name for name, value in state.items() if not isinstance(value, Tensor))
    if others:
        raise CheckpointError(
            f"{where}: these entries of its state_dict are no tensors: {some(others)}"
        )
    if "quantize.embed.weight" in state:
        raise CheckpointError(
            f"{where} is a Gumbel VQGAN, whose codebook works differently: "
            "only VQGANs with a nearest-neighbour codebook can be converted"
        )
    return state


def read_pickle(path: str | PathLike[str]) -> Pickled:
    """Read a file of `torch.save` without running anything it says.

    Raises:
        CheckpointError: it is missing, damaged, or not in the format of torch 1.6 and later.
    """
    try:
        check_torch_file(path, only=None)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error
    try:
        with zipfile.ZipFile(path) as archive:
            pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            if len(pickles) != 1:
                raise CheckpointError(f"{path} is a zip file, but not one that torch.save wrote")
            with archive.open(pickles[0]) as stream:
                unpickler = InertUnpickler(stream, archive, pickles[0].removesuffix("data.pkl"))
                contents = unpickler.load()
    except zipfile.BadZipFile as error:
        raise CheckpointError(
            f"{path} is truncated, or not of torch 1.6 or later (which saves zip files): {error}"
        ) from error
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    except Exception as error:  # a damaged pickle can fail in any way
        raise CheckpointError(f"{path} is damaged: {error!r:.300}") from error
    return Pickled(contents, tuple(sorted(unpickler.inert)))


class Inert:
    """Stands for any object that is not a tensor: takes everything and does nothing."""

    def __new__(cls, *_arguments: Any, **_options: Any) -> Inert:
        return super().__new__(cls)

    def __init__(self, *_arguments: Any, **_options: Any) -> None:
        pass

    def __call__(self, *_arguments: Any, **_options: Any) -> Inert:
        return self

    def __setstate__(self, _state: Any) -> None:
        pass

    def __setitem__(self, _key: Any, _value: Any) -> None:
        pass

    def append(self, _item: Any) -> None:
        pass

    def extend(self, _items: Any) -> None:
        pass

    def add(self, _item: Any) -> None:
        pass


class InertUnpickler(pickle.Unpickler):
    """An unpickler that resolves no name by importing: it knows tensors, the rest is `Inert`."""

    def __init__(self, stream: Any, archive: zipfile.ZipFile, prefix: str) -> None:
        super().__init__(stream)
        self.archive = archive
        self.prefix = prefix
        self.storages: dict[str, Tensor] = {}
        self.inert: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        """A stand-in for the name; never the thing itself, which pickles could alter."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict  # a built-in type, which cannot be altered
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda *arguments: rebuild_tensor(*arguments)
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda tensor, *_: tensor
        if module in ("torch", "torch.storage") and name in STORAGE_DTYPES:
            return StorageKind(STORAGE_DTYPES[name])
        self.inert.add(f"{module}.{name}")
        return type(name, (Inert,), {})

    def persistent_load(self, pid: Any) -> Tensor:
        """Numbers kept beside the pickle, flat; `pid` is (_, kind, key, device, count)."""
        _, kind, key, _, count = pid
        if not isinstance(kind, StorageKind) or not str(key).isalnum():
            raise CheckpointError(f"unknown kind of storage with the key {key!r:.60}")
        if key not in self.storages:
            name = f"{self.prefix}data/{key}"
            size, wanted = self.archive.getinfo(name).file_size, count * kind.dtype.itemsize
            if size != wanted:
                raise CheckpointError(f"{name} has {size} bytes, wanted {wanted}")
            data = bytearray(self.archive.read(name))
            empty = torch.empty(0, dtype=kind.dtype)
            self.storages[key] = torch.frombuffer(data, dtype=kind.dtype) if data else empty
        return self.storages[key]


@dataclass(frozen=True)
class StorageKind:
    """A storage class of torch's, reduced to what it says."""

    dtype: torch.dtype


def rebuild_tensor(storage: Tensor, offset: int, size: Any, stride: Any, *_: Any) -> Tensor:
    """A view of flat numbers; torch checks that it stays inside them."""
    return torch.as_strided(storage, tuple(size), tuple(stride), offset)


@dataclass(kw_only=True)
class Flags:
    checkpoint: Annotated[Path, argument("A .ckpt of taming-transformers.")]
    config: Annotated[Path, option("The YAML it came with.")]
    output_dir: Annotated[Path, option("Where to write.", None, "--output-dir", "-o")]


def run(flags: Flags) -> str:
    """Convert; what was written, and what was not run."""
    pickled = convert(flags.checkpoint, flags.config, flags.output_dir)
    lines = [f"wrote {flags.output_dir}"]
    if pickled.inert:
        lines.append(f"read as inert placeholders, not run: {some(list(pickled.inert))}")
    return "\n".join(lines)


main = program(
    "python -m vqgan.convert", (__doc__ or "").partition("\n")[0], {"": (Flags, run, "")}
)

if __name__ == "__main__":
    sys.exit(main())
