"""Pictures with records, read from WebDataset shards or from an ImageFolder.

Both are map-style: an index of where each sample lies is made once (`samples.py`), every picture is
known to be readable (`soundness.py`), and bytes are read when asked for. A training step then is a
pure function of its number (`batch_indices`), and a resumed run sees exactly what an unbroken one
would have seen. Sets too large for that are read in passing, by `streams.py`.
"""

from __future__ import annotations

import glob
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ufc_base.data.addresses import NamedSet, is_named
from ufc_base.data.named import NamedSamples, named_samples, named_shards
from ufc_base.data.names import DataError, is_hidden, is_picture
from ufc_base.data.records import USUAL, Reading
from ufc_base.data.samples import (
    Index,
    IndexedSamples,
    Sample,
    Samples,
    index_folder,
    index_shards,
    split_folders,
    visible_files,
)
from ufc_base.data.soundness import DataSet, indexed_set, named_set
from ufc_base.images import fit_square

STREAM_BYTES = 8e9  # shards of more than this are read in passing unless it is said otherwise
SHARD_SUFFIXES = (".tar", ".tar.gz", ".tgz")  # those after the first can only be read in passing

__all__ = [
    "DataError",
    "DataSet",
    "Pixels",
    "Reading",
    "Sample",
    "Samples",
    "batch_indices",
    "open_dataset",
    "shard_urls",
    "streams",
]


def open_dataset(
    path: str | PathLike[str], reading: Reading = USUAL, split: str | None = None
) -> DataSet:
    """Open a folder of shards, one or several shards, an ImageFolder, or a set by name.

    Of a set in parts `split` is the one that is wanted: `train`, or `validation`, for which `test`
    serves where there is none.

    Raises:
        DataError: there is nothing to read, or too many pictures are unreadable.
    """
    if is_named(str(path)):
        return named_set(named_samples(str(path), reading, split), NamedSet.parse(str(path)))
    index = data_index(path, reading, split)
    if not index.entries and not index.unread:
        column = f" under --image-column {reading.image_column}" if reading.image_column else ""
        raise DataError(
            f"{path} has neither *.tar shards with pictures nor an ImageFolder{column} "
            "(pictures, optionally with metadata.jsonl, metadata.csv or metadata.parquet)"
        )
    return indexed_set(index, reading, str(path))


def unseen_samples(
    path: str | PathLike[str], reading: Reading, split: str | None = None
) -> NamedSamples | IndexedSamples:
    """The samples of a data set, their pictures not looked at.

    Raises:
        DataError: there are none, or their shards or metadata cannot be read.
    """
    if is_named(str(path)):
        return named_samples(str(path), reading, split)
    return IndexedSamples(data_index(path, reading, split), reading)


def data_index(path: str | PathLike[str], reading: Reading, split: str | None = None) -> Index:
    """What a data set is made of; nothing is decoded.

    Raises:
        DataError: there is none, or its shards or metadata cannot be read.
    """
    shards = [Path(url) for url in shard_urls(path, split)]
    if shards:
        return index_shards(shards, reading)
    root = Path(path)
    if not root.exists():
        raise DataError(f"there is no data at {path}")
    return index_folder(root, split_folders(root, split), reading)


def shard_urls(data: str | PathLike[str], split: str | None = None) -> list[str]:
    """The shards that a setting names; none for an ImageFolder.

    A folder of them (or of one with several parts those of a `split`), a file, `{000..099}` and
    `*` in names, `pipe:` commands, other addresses, and several of these joined by `::`.
    """
    text = str(data)
    if is_named(text):
        return []
    if "{" in text or "::" in text:
        from webdataset.shardlists import expand_urls

        return [url for part in expand_urls(text) for url in shard_urls(part, split)]
    if is_remote(text) or text.endswith(SHARD_SUFFIXES):
        return [text] if is_remote(text) else sorted(glob.glob(text)) or [text]
    root = Path(text)
    if not root.is_dir():
        return []
    found = [path for path in sorted(root.iterdir()) if _is_shard(path)]
    if not found:
        files = [path for folder in split_folders(root, split) for path in visible_files(folder)]
        if not any(is_picture(path.name) for path in files):
            found = [path for path in files if _is_shard(path)]
    return [str(path) for path in found]


def _is_shard(path: Path) -> bool:
    return path.name.endswith(SHARD_SUFFIXES) and not is_hidden(path.name) and path.is_file()


def is_remote(url: str) -> bool:
    return "://" in url or url.startswith("pipe:") or is_named(url)


def streamed_shards(
    data: str | PathLike[str], reading: Reading, asked: bool | None, split: str | None = None
) -> list[str] | None:
    """The shards of data that are to be read in passing; None where they are read by index.

    Raises:
        DataError: they have to be read otherwise than is `asked`.
    """
    if is_named(str(data)):
        return named_shards(str(data), reading, split) if asked else None
    urls = shard_urls(data, split)
    return urls if streams(urls, asked) else None


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
    if any(url.endswith(SHARD_SUFFIXES[1:]) for url in urls):
        return True
    return sum(Path(url).stat().st_size for url in urls if Path(url).is_file()) > STREAM_BYTES


def as_uint8(image: Image.Image, size: int | tuple[int, int], fit: str = "pad") -> Tensor:
    """A picture brought to (height, width) or a square, (3, H, W) uint8; see `fitted`."""
    return torch.from_numpy(np.array(fitted(image, size, fit))).permute(2, 0, 1).contiguous()


def fitted(image: Image.Image, size: int | tuple[int, int], fit: str = "pad") -> Image.Image:
    """A picture brought to (height, width) or a square, as RGB.

    `pad` keeps all of it and its proportions, `stretch` all of it, `crop` its proportions.
    """
    height, width = (size, size) if isinstance(size, int) else size
    image, bicubic = image.convert("RGB"), Image.Resampling.BICUBIC
    if fit == "stretch":
        return image.resize((width, height), bicubic)
    if fit == "crop":
        return ImageOps.fit(image, (width, height), bicubic)
    if height == width:
        return fit_square(image, height)
    return ImageOps.pad(image, (width, height), bicubic, color="white")


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
