"""Pictures by index: where the picture of each sample lies, and what is known of it.

The index is made once, from tar headers, or from a folder's names and metadata files (as Hugging
Face's ImageFolder has them); bytes are read when asked for.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from ufc_base.data.names import (
    DataError,
    grouped,
    is_hidden,
    is_picture,
    is_told,
    joined_by_key,
    picture_of,
)
from ufc_base.data.records import (
    METADATA,
    Reading,
    parse_record,
    read_metadata,
    take_picture_names,
    with_captions,
)
from ufc_base.files import folded
from ufc_base.images import ImageError, load_image

MOST_TOLD = 16 * 1024 * 1024  # bytes of a file that says something of a picture
MOST_PICTURE = 256 * 1024 * 1024  # bytes of a picture's file; a raw one of the most pixels has less
# What Python's reader of tars raises beside its own errors, such as for names behind names.
ODD_HEADERS = (RecursionError, ValueError, ArithmeticError, LookupError, TypeError, EOFError)

# The parts of a set by the names that ImageFolder knows for their folders.
SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}


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
    """A file, or with a `size` the part of a shard that holds one."""

    path: Path
    offset: int = 0
    size: int | None = None

    def read(self, most: int | None = None) -> bytes:
        """Its bytes. Raises `DataError` where there are more than `most`."""
        with self.path.open("rb") as stream:
            stream.seek(self.offset)
            size = os.fstat(stream.fileno()).st_size if self.size is None else self.size
            if most is not None and size > most:
                raise DataError(f"what is said of it has {size:,} bytes, more than {most:,}")
            return stream.read(size)


@dataclass(frozen=True)
class Entry:
    """One sample: its picture, files that say something of it, and what a metadata file says."""

    id: str
    where: str
    picture: Member
    told: Mapping[str, Member] = field(default_factory=dict)
    row: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Index:
    """What a data set is made of.

    Attributes:
        root: the folder that names are relative to.
        files: all files that say what the set is.
        unread: why pictures are missing that should be there.
        notes: what was passed over, in words.
    """

    root: Path
    entries: list[Entry] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class IndexedSamples:
    """The samples of an index."""

    def __init__(self, index: Index, reading: Reading) -> None:
        self.index = index
        self.reading = reading

    def __len__(self) -> int:
        return len(self.index.entries)

    def __getitem__(self, index: int) -> Sample:
        entry = self.index.entries[index]
        try:
            whole = entry.picture.size is None
            image = load_image(entry.picture.path if whole else entry.picture.read())
        except ImageError as error:
            text = str(error)
            raise DataError(text if whole else f"{entry.where}: {text}") from error
        return Sample(entry.id, image, self.record(index))

    def place(self, index: int) -> Path:
        """The file that holds the picture: itself, or its shard."""
        return self.index.entries[index].picture.path

    def record(self, index: int) -> dict[str, Any]:
        entry = self.index.entries[index]
        try:
            files = {suffix: member.read(MOST_TOLD) for suffix, member in entry.told.items()}
            told = parse_record(files)
        except (DataError, OSError) as error:
            raise DataError(f"{entry.where}: {error}") from error
        return with_captions(told | dict(entry.row), self.reading.caption_column)


def index_shards(shards: Sequence[Path], reading: Reading) -> Index:
    """Shards of `ID.webp` (or another format) beside `ID.json`, `ID.txt`, `ID.caption.txt` ...

    Raises:
        DataError: a shard cannot be read, or it is not clear which of a sample's files is meant.
    """
    index = Index(shards[0].parent, files=list(shards))
    alone = 0
    for shard in shards:
        files = joined_by_key(shard_members(shard))
        for key, own in grouped(files, reading.image_column):
            entry = _entry(key, own, f"{shard}, {key}", reading)
            if entry is not None:
                index.entries.append(entry)
            else:
                alone += any(map(is_told, own))
    if alone:
        index.notes.append(f"{alone} samples of the shards have no picture")
    return index


def shard_members(shard: Path) -> dict[str, Member]:
    """Names and places of a shard's files, from its headers alone; of one name the last."""
    try:
        whole = shard.stat().st_size
        with tarfile.open(shard, "r:") as archive:
            return {
                info.name: Member(shard, info.offset_data, min(info.size, whole))
                for info in archive
                if is_plain_member(info) and 0 <= info.offset_data <= whole
            }
    except (tarfile.TarError, OSError, *ODD_HEADERS) as error:
        raise DataError(
            f"{shard} is not a readable, uncompressed tar file ({error!s:.200})"
        ) from error


def is_plain_member(info: tarfile.TarInfo) -> bool:
    """Whether a member of a shard is a file of its own, and its name stays inside.

    Links, devices and sparse files are passed over, and so are names that lead elsewhere.
    """
    outside = info.name.startswith("/") or ".." in info.name.split("/")
    return info.isreg() and not info.issparse() and info.size >= 0 and not outside


def index_folder(root: Path, folders: Sequence[Path], reading: Reading) -> Index:
    """The pictures in some `folders` of a data set at `root` (or in it, as a whole).

    Metadata files say which pictures count, each for the folders below it; where there is none,
    all pictures do, with what files beside them say (`a.txt`, `a.json` ...).

    Raises:
        DataError: a metadata file cannot be read.
    """
    index = Index(root)
    visible = {path for folder in folders for path in visible_files(folder)}
    above = {path for folder in folders for path in _metadata_above(root, folder)}
    tables = sorted(path for path in visible | above if path.name in METADATA)
    _refuse_rivals(tables)
    for table in tables:
        _add_rows(index, table, folders, reading)
    if index.entries or index.unread:
        named = {entry.picture.path for entry in index.entries}
        index.files = sorted(named.union(tables))
        others = sum(is_picture(path.name) for path in visible - named)
        if others:
            index.notes.append(f"{others} pictures are not named in {tables[0].name}")
        return index
    _add_files(index, sorted(visible), reading)
    return index


def _metadata_above(root: Path, folder: Path) -> list[Path]:
    """The metadata files of the folders between a data set and one of its splits."""
    between = [place for place in folder.parents if place.is_relative_to(root)]
    return [place / name for place in between for name in METADATA if (place / name).is_file()]


def _refuse_rivals(tables: Sequence[Path]) -> None:
    folders = [table.parent for table in tables]
    twice = next((folder for folder in folders if folders.count(folder) > 1), None)
    if twice is not None:
        names = ", ".join(table.name for table in tables if table.parent == twice)
        raise DataError(f"{twice} has {names}: leave one of them there")


def _add_rows(index: Index, table: Path, folders: Sequence[Path], reading: Reading) -> None:
    """What a metadata file names of the pictures in some folders, or outside of the data set."""
    splits = [Path(os.path.abspath(folder)) for folder in folders]
    root = Path(os.path.abspath(index.root))
    listings: dict[Path, dict[str, list[str]]] = {}
    for where, row in read_metadata(table):
        try:
            names = take_picture_names(row, reading.image_column, where)
        except DataError as error:
            index.unread.append(str(error))
            continue
        for name in names:
            path = spelt_otherwise(table.parent, name, listings) or table.parent / name
            place = Path(os.path.abspath(path))
            if place.is_relative_to(root) and not any(place.is_relative_to(s) for s in splits):
                continue  # of another split
            if is_file(path):
                index.entries.append(Entry(path.stem, str(path), Member(path), row=row))
            else:
                index.unread.append(f"{where}: there is no picture {str(path)[:300]}")


def spelt_otherwise(
    folder: Path, name: str, listings: dict[Path, dict[str, list[str]]]
) -> Path | None:
    """The file of a name that was right where case, or how accents are stored, makes no difference.

    A table from Windows may name `A.PNG` where `a.png` lies, one from a Mac the same letters in
    other characters. None where the name is right as it is, or fits no file or several. `listings`
    keeps what lies in folders.
    """
    if is_file(folder / name):
        return None
    place = folder
    for part in Path(name).parts:
        if part in (os.sep, os.pardir) or not place.is_dir():
            return None
        if place not in listings:
            listings[place] = {}
            for other in os.listdir(place):
                listings[place].setdefault(folded(other), []).append(other)
        alike = listings[place].get(folded(part), [])
        exact = [other for other in alike if other == part] or alike
        if len(exact) != 1:
            return None
        place = place / exact[0]
    return place if is_file(place) else None


def is_file(path: Path) -> bool:
    """Whether a file is there; names that no file can have are none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _add_files(index: Index, paths: Sequence[Path], reading: Reading) -> None:
    """Pictures and the files beside them; without such files, their folders' names as `label`."""
    names = {path.relative_to(index.root).as_posix(): path for path in paths}
    for key, own in grouped(joined_by_key(names), reading.image_column):
        files = {suffix: Member(path) for suffix, path in own.items()}
        entry = _entry(key, files, str(index.root / key), reading)
        if entry is not None:
            index.entries.append(entry)
            index.files += [entry.picture.path, *(told.path for told in entry.told.values())]
    parents = [entry.picture.path.parent for entry in index.entries]
    labelled = len(set(parents)) > 1 and len({len(parent.parts) for parent in parents}) == 1
    if labelled and not any(entry.told for entry in index.entries):
        index.entries = [
            Entry(entry.id, entry.where, entry.picture, row={"label": parent.name})
            for entry, parent in zip(index.entries, parents, strict=True)
        ]


def _entry(key: str, files: Mapping[str, Member], where: str, reading: Reading) -> Entry | None:
    """A sample of these files by suffix; None without a picture."""
    try:
        suffix = picture_of(files, reading.image_column)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    if suffix is None:
        return None
    told = {name: member for name, member in files.items() if is_told(name)}
    return Entry(Path(key).name, f"{where}.{suffix}", files[suffix], told)


def visible_files(folder: Path) -> list[Path]:
    """All files in a folder and below that are no system's own, sorted.

    Links to files count as those, links to folders are not followed, and pipes and devices, which
    nobody may ever write to the end of, are left out.
    """
    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        paths = (Path(place, name) for name in names if not is_hidden(name))
        found += [path for path in paths if is_file(path) or not path.exists()]
    return sorted(found)


def split_folders(root: Path, split: str | None) -> list[Path]:
    """The folders of a data set that hold one of its splits; itself, where it has none.

    A split is a folder of a known name (`SPLITS`), in the data set or its `data` folder. One of
    them among others (`train` beside `bus`) is a kind of picture and no split.

    Raises:
        DataError: there are several, and it is not said which is meant, or not that one.
    """
    for base in (root, root / "data"):
        if not base.is_dir():
            continue
        inside = [p for p in sorted(base.iterdir()) if p.is_dir() and not is_hidden(p.name)]
        found = {
            kind: [path for path in inside if path.name.lower() in names]
            for kind, names in SPLITS.items()
        }
        found = {kind: paths for kind, paths in found.items() if paths}
        if len(found) > 1 or (found and len(inside) == sum(map(len, found.values()))):
            return _chosen_split(root, found, split)
    return [root]


def _chosen_split(root: Path, found: dict[str, list[Path]], split: str | None) -> list[Path]:
    if len(found) == 1:
        return next(iter(found.values()))
    wanted = {"train": ["train"], "validation": ["validation", "test"]}.get(split or "", [])
    chosen = next((kind for kind in wanted if kind in found), None)
    if chosen is None:
        names = ", ".join(str(path) for paths in found.values() for path in paths)
        raise DataError(f"{root} has several parts: say which one is meant, of {names}")
    return found[chosen]
