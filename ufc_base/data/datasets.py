"""Pictures with records, read from WebDataset shards or from an ImageFolder.

Both are map-style: an index of where each sample lies is made once (tar headers, or the lines of
`metadata.jsonl`), and bytes are read when asked for. A training step then is a pure function of
its number (`batch_indices`), and a resumed run sees exactly what an unbroken one would have seen.
Sets too large for that are read in passing, by `ufc_base.data.streams`.
"""

from __future__ import annotations

import glob
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ufc_base.images import ImageError, fit_square, load_image

IMAGE_SUFFIXES = (".webp", ".jpg", ".jpeg", ".png", ".bmp")
FITS = ("pad", "stretch", "crop")
STREAM_BYTES = 8e9  # shards of more than this are read in passing unless it is said otherwise


class DataError(ValueError):
    """Training data that cannot be used; the message says what was found and what is wanted."""


@dataclass(frozen=True)
class Sample:
    """One picture and what is known of it (`text`, `text_zh`, `captions`, attributes ...)."""

    id: str
    image: Image.Image
    record: dict[str, Any] = field(default_factory=dict)


class Samples(Protocol):
    """What a training set offers: a length, whole samples, and records without their pictures."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...

    def record(self, index: int) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Member:
    """Where one file of a shard lies."""

    shard: Path
    offset: int
    size: int

    def read(self) -> bytes:
        with self.shard.open("rb") as stream:
            stream.seek(self.offset)
            return stream.read(self.size)


class ShardSamples:
    """WebDataset shards: `ID.webp` (or jpg, png) beside `ID.json` and / or `ID.txt`."""

    def __init__(self, shards: Sequence[Path]) -> None:
        self.samples: list[tuple[str, dict[str, Member]]] = []
        for shard in shards:
            grouped: dict[str, dict[str, Member]] = {}
            for name, member in shard_members(shard):
                stem, _, suffix = name.rpartition(".")
                grouped.setdefault(stem, {})[suffix.lower()] = member
            self.samples += [
                (stem, files) for stem, files in grouped.items() if image_suffix(files) is not None
            ]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        stem, files = self.samples[index]
        suffix = image_suffix(files)
        assert suffix is not None
        picture = files[suffix]
        try:
            image = load_image(picture.read())
        except ImageError as error:
            raise DataError(f"{picture.shard}, {stem}.{suffix}: {error}") from error
        return Sample(Path(stem).name, image, self.record(index))

    def record(self, index: int) -> dict[str, Any]:
        stem, files = self.samples[index]
        told = {name: files[name] for name in ("json", "txt") if name in files}
        try:
            return parse_record({name: member.read() for name, member in told.items()})
        except DataError as error:
            shard = next(iter(told.values())).shard
            raise DataError(f"{shard}, {stem}: {error}") from error


class FolderSamples:
    """A folder of pictures with an optional `metadata.jsonl` (`file_name`, `text` ...)."""

    def __init__(self, folder: Path) -> None:
        self.rows: list[tuple[Path, dict[str, Any]]] = []
        metadata = folder / "metadata.jsonl"
        if not metadata.is_file():
            paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
            self.rows = [(path, {}) for path in paths]
            return
        try:
            lines = metadata.read_text(encoding="utf-8-sig").split("\n")
        except UnicodeDecodeError as error:
            raise DataError(f"{metadata} is not UTF-8 ({error}): save it as UTF-8") from error
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
                path = folder / record.pop("file_name")
            except (json.JSONDecodeError, KeyError, AttributeError, TypeError) as error:
                raise DataError(
                    f'{metadata}, line {number}: wanted an object with "file_name" ({error})'
                ) from error
            if not path.is_file():
                raise DataError(f"{metadata}, line {number}: there is no picture {path}")
            self.rows.append((path, record))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Sample:
        path, record = self.rows[index]
        return Sample(path.stem, load_image(path), record)

    def record(self, index: int) -> dict[str, Any]:
        return self.rows[index][1]


def open_dataset(path: str | PathLike[str]) -> Samples:
    """Open a folder of `*.tar` shards, one or several shards, or an ImageFolder.

    Raises `DataError` when there is nothing to read.
    """
    shards = [Path(url) for url in shard_urls(path)]
    if not shards and not Path(path).exists():
        raise DataError(f"there is no data at {path}")
    samples: Samples = ShardSamples(shards) if shards else FolderSamples(Path(path))
    if not len(samples):
        raise DataError(
            f"{path} has neither *.tar shards with pictures nor an ImageFolder "
            f"({', '.join(IMAGE_SUFFIXES)}, optionally with metadata.jsonl)"
        )
    return samples


def shard_urls(data: str | PathLike[str]) -> list[str]:
    """The shards that a setting names; none for an ImageFolder.

    A folder of them, a file, `{000..099}` and `*` in names, `pipe:` commands, other addresses, and
    several of these joined by `::`.
    """
    text = str(data)
    if "{" in text or "::" in text:
        from webdataset.shardlists import expand_urls

        return [url for part in expand_urls(text) for url in shard_urls(part)]
    if is_remote(text) or text.endswith(".tar"):
        return [text] if is_remote(text) else sorted(glob.glob(text)) or [text]
    return [str(path) for path in sorted(Path(text).glob("*.tar"))]


def is_remote(url: str) -> bool:
    return "://" in url or url.startswith("pipe:")


def streams(urls: Sequence[str], asked: bool | None) -> bool:
    """Whether shards are to be read in passing: as asked, or by their addresses and sizes.

    Raises:
        DataError: they have to be and are asked not to be, or are no shards.
    """
    remote = any(is_remote(url) for url in urls)
    if asked is False and remote:
        raise DataError("shards from addresses are read in passing: leave --no-streaming out")
    if asked and not urls:
        raise DataError("only *.tar shards can be read in passing: leave --streaming out")
    if asked is not None or remote:
        return asked or remote
    return sum(Path(url).stat().st_size for url in urls if Path(url).is_file()) > STREAM_BYTES


def shard_members(shard: Path) -> list[tuple[str, Member]]:
    """Names and places of a shard's files, from its headers alone."""
    try:
        with tarfile.open(shard, "r:") as archive:
            return [
                (info.name, Member(shard, info.offset_data, info.size))
                for info in archive
                if info.isfile()
            ]
    except (tarfile.TarError, OSError) as error:
        raise DataError(f"{shard} is not a readable, uncompressed tar file ({error})") from error


def image_suffix(files: Iterable[str]) -> str | None:
    """Which of a sample's files, by suffix without dot, is its picture."""
    names = set(files)
    return next((suffix[1:] for suffix in IMAGE_SUFFIXES if suffix[1:] in names), None)


def parse_record(files: Mapping[str, bytes]) -> dict[str, Any]:
    """What a sample's `json` and `txt` say of it.

    Raises:
        DataError: they are not a JSON object and UTF-8 text.
    """
    try:
        record: dict[str, Any] = json.loads(files.get("json", b"{}"))
        if not isinstance(record, dict):
            raise DataError(f"its json holds a {type(record).__name__}, wanted an object")
        if "txt" in files:
            record.setdefault("text", files["txt"].decode("utf-8").strip())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"its json or txt cannot be read ({error})") from error
    return record


def as_uint8(image: Image.Image, size: int | tuple[int, int], fit: str = "pad") -> Tensor:
    """A picture brought to (height, width) or a square, (3, H, W) uint8.

    `pad` keeps all of it and its proportions, `stretch` all of it, `crop` its proportions.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if fit == "stretch":
        fitted = image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    elif fit == "crop":
        fitted = ImageOps.fit(image.convert("RGB"), (width, height), Image.Resampling.BICUBIC)
    elif height == width:
        fitted = fit_square(image, height)
    else:
        fitted = ImageOps.pad(
            image.convert("RGB"), (width, height), Image.Resampling.BICUBIC, color="white"
        )
    return torch.from_numpy(np.array(fitted)).permute(2, 0, 1).contiguous()


def as_float(pixels: Tensor) -> Tensor:
    """uint8 pictures as float in -1..1."""
    return pixels.float() / 127.5 - 1


class Pixels:
    """Pictures of one size as uint8 tensors, kept in memory once decoded while they fit.

    `size` is a side or (height, width), see `as_uint8`. `cache_bytes` bounds the memory; a larger
    set is decoded from its shards each time.
    """

    def __init__(
        self,
        samples: Samples,
        size: int | tuple[int, int],
        fit: str = "pad",
        cache_bytes: float = 2e9,
    ) -> None:
        self.samples = samples
        self.size = (size, size) if isinstance(size, int) else size
        self.fit = fit
        total = len(samples) * 3 * self.size[0] * self.size[1]
        self.cache: dict[int, Tensor] | None = {} if total <= cache_bytes else None

    def __len__(self) -> int:
        return len(self.samples)

    def uint8(self, index: int) -> Tensor:
        """One picture, (3, H, W) uint8."""
        if self.cache is not None and index in self.cache:
            return self.cache[index]
        pixels = as_uint8(self.samples[index].image, self.size, self.fit)
        if self.cache is not None:
            self.cache[index] = pixels
        return pixels

    def batch(self, indices: Sequence[int], device: torch.device | None = None) -> Tensor:
        """Pictures as float (B, 3, H, W) in -1..1."""
        return as_float(torch.stack([self.uint8(index) for index in indices]).to(device))


def batch_indices(
    size: int, batch_size: int, step: int, seed: int, places: range | None = None
) -> list[int]:
    """The samples of training step `step`: a slice of endless seeded permutations of the set.

    With `places` those at these places of the batch alone.
    """
    indices: list[int] = []
    for place in places if places is not None else range(batch_size):
        epoch, within = divmod(step * batch_size + place, size)
        indices.append(int(permutation(size, seed, epoch)[within]))
    return indices


_permutations: dict[tuple[int, int], tuple[int, Tensor]] = {}


def permutation(size: int, seed: int, epoch: int) -> Tensor:
    """Order of an epoch, (size,) int64; the current one is kept, as every step asks for it."""
    held = _permutations.get((size, seed))
    if held is None or held[0] != epoch:
        generator = torch.Generator().manual_seed((seed << 20) + epoch)
        held = (epoch, torch.randperm(size, generator=generator))
        _permutations[(size, seed)] = held
    return held[1]
