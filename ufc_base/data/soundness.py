"""Data sets of which every picture is known to be readable, before anything is computed of them.

Each picture is decoded once; what was found is kept in the user's cache under the content of the
set, so that it costs a second run no more than the reading of the bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import PIL

from ufc_base import images
from ufc_base.data.addresses import NamedSet
from ufc_base.data.named import NamedSamples
from ufc_base.data.names import DataError
from ufc_base.data.records import USUAL, Reading, has_caption
from ufc_base.data.samples import Index, IndexedSamples, Sample, Samples
from ufc_base.files import write_text
from ufc_base.formats.json_text import load_json
from ufc_base.images import ImageError

AT_ONCE = 4096  # pictures handed to the threads at a time
SHOWN = 3  # reasons that a message gives


class DataSet:
    """The readable samples of a set.

    Attributes:
        digests: of every file of the set a digest of its bytes, by name.
        content: a digest of all that the pictures and their records are.
        unreadable: why samples were left out.
        notes: what else was passed over.
    """

    def __init__(
        self,
        samples: Samples,
        digests: Mapping[str, str],
        name: str,
        reading: Reading = USUAL,
        unread: Sequence[str] = (),
        notes: Sequence[str] = (),
    ) -> None:
        self.samples = samples
        self.notes = list(notes)
        self.digests = dict(digests)
        said = f"{sorted(self.digests.items())} {len(samples)} {reading.image_column}"
        self.content = hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()
        damaged = known_damage(samples, self.content) if reading.keep else find_damage(samples)
        self.unreadable = [*unread, *damaged.values()]
        refuse_too_many(self.unreadable, len(samples) + len(unread), reading, name)
        self.indices = [index for index in range(len(samples)) if index not in damaged]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[self.indices[index]]

    def record(self, index: int) -> dict[str, Any]:
        return self.samples.record(self.indices[index])

    @property
    def places(self) -> list[Path]:
        """The files that hold the pictures: they themselves, or their shards, each once."""
        assert isinstance(self.samples, IndexedSamples | NamedSamples)
        return list(dict.fromkeys(map(self.samples.place, self.indices)))

    @cached_property
    def captioned(self) -> int:
        """How many samples have a caption."""
        return sum(has_caption(self.record(index)) for index in range(len(self)))

    @cached_property
    def fields(self) -> list[str]:
        """The fields that are known of the first samples."""
        return list(dict.fromkeys(n for i in range(min(100, len(self))) for n in self.record(i)))

    def said(self) -> list[str]:
        """What was left out, in words; nothing where all is well."""
        return [*filter(None, [told_unreadable(self.unreadable)]), *self.notes]


def indexed_set(index: Index, reading: Reading, name: str) -> DataSet:
    """An index whose pictures have been looked at.

    Raises:
        DataError: too many of them cannot be read.
    """
    samples = IndexedSamples(index, reading)
    digests = file_digests(index.files, index.root)
    return DataSet(samples, digests, name, reading, index.unread, index.notes)


def named_set(samples: NamedSamples, named: NamedSet) -> DataSet:
    """A set by name whose pictures have been looked at.

    Raises:
        DataError: too many of them cannot be read.
    """
    digests = samples.digests()
    return DataSet(samples, digests, str(named), samples.reading)


def content_of(samples: Samples) -> str:
    """A digest of all pictures of a set: of its files, or else of every pixel."""
    if isinstance(samples, DataSet):
        return samples.content
    digest = hashlib.sha256()
    for index in range(len(samples)):
        image = samples[index].image
        digest.update(f"{image.size} {image.mode}".encode())
        digest.update(image.tobytes())
    return digest.hexdigest()


def told_unreadable(reasons: Sequence[str]) -> str:
    """A line for pictures that were left out; nothing without any."""
    if not reasons:
        return ""
    shown = "; ".join(reasons[:SHOWN]) + " …" * (len(reasons) > SHOWN)
    return f"{len(reasons)} unreadable, left out: {shown}"


def refuse_too_many(reasons: Sequence[str], total: int, reading: Reading, name: str) -> None:
    """Raises `DataError` where the share of unreadable pictures is beyond what is allowed."""
    if len(reasons) > reading.max_unreadable * total or len(reasons) == total:
        raise DataError(f"{name}: {too_many(reasons, len(reasons), total, reading)}")


def too_many(reasons: Sequence[str], count: int, total: int, reading: Reading) -> str:
    """What is said where a set is refused; `reasons` are some of the `count`."""
    shown = "; ".join(reasons[:SHOWN]) + " …" * (count > SHOWN)
    return (
        f"{count} of {total} pictures cannot be read, more than the {reading.max_unreadable:.1%} "
        f"allowed (mend or remove them, or raise --max-unreadable): {shown}"
    )


def known_damage(samples: Samples, content: str) -> dict[int, str]:
    """Why samples cannot be read, by index: as it was found before, or by decoding each one."""
    reader = f"{PIL.__version__} {Path(images.__file__).read_text(encoding='utf-8')}"
    key = hashlib.sha256(f"{content} {reader}".encode()).hexdigest()[:24]
    file = user_cache() / "data" / f"pictures-{key}.json"
    try:
        stored = load_json(file.read_text(encoding="utf-8"))
        return {int(index): str(reason) for index, reason in stored["unreadable"].items()}
    except (OSError, ValueError, KeyError, AttributeError):
        found = find_damage(samples)
    with suppress(OSError):  # a home that cannot be written to: it is looked at again next time
        write_text(file, json.dumps({"unreadable": found}))
    return found


def find_damage(samples: Samples) -> dict[int, str]:
    """Decode every sample; why some cannot be, by index."""

    def look(index: int) -> str | None:
        try:
            samples[index]
        except (ImageError, DataError, OSError, MemoryError) as error:
            return " ".join(str(error).split()) or type(error).__name__
        return None

    found: dict[int, str] = {}
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, len(samples), AT_ONCE):
            places = range(start, min(start + AT_ONCE, len(samples)))
            for index, reason in zip(places, pool.map(look, places), strict=True):
                if reason is not None:
                    found[index] = reason
    return found


def file_digests(files: Iterable[Path], root: Path) -> dict[str, str]:
    """Digests of all bytes of files, by their names relative to `root`."""
    paths = sorted(set(files))

    def digest(path: Path) -> str:
        try:
            with path.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()[:32]
        except OSError as error:
            return f"unreadable ({type(error).__name__})"

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        found = pool.map(digest, paths)
        names = [Path(os.path.relpath(path, root)).as_posix() for path in paths]
        return dict(zip(names, found, strict=True))


def user_cache() -> Path:
    """Where this program keeps what it can compute again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ufc"
