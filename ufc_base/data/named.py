"""Data sets by name, as Hugging Face's `datasets` loads them: from the hub, or by its builders.

Rows come from the library; pictures and records are then read as those of every other set.
`addresses.py` has how such a set is named.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from ufc_base.data.addresses import SCHEME, NamedSet
from ufc_base.data.names import PICTURE_FIELDS, DataError, is_picture
from ufc_base.data.records import Reading, with_captions
from ufc_base.data.samples import MOST_PICTURE, SPLITS, Sample
from ufc_base.images import ImageError, load_image

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

ROWS = 100  # of which a digest is made at a time
OTHERS = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
)  # what the library raises beside its own
INNER = ("__key__", "__url__")  # columns of the builder of shards that are no fields


@dataclass(frozen=True)
class Columns:
    """Which columns of a set are what.

    Attributes:
        picture: the column of the pictures that count.
        told: those that say something of a picture.
        labels: those of `told` that hold numbers of classes, and how they become names.
    """

    picture: str
    told: tuple[str, ...]
    labels: Mapping[str, Callable[[int], str]]

    def fields(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What a row says of its picture: labels by name, empty cells left out."""
        record: dict[str, Any] = {}
        for name in self.told:
            value = row.get(name)
            if name in self.labels and isinstance(value, int):
                value = self.labels[name](value) if value >= 0 else None
            if name == "json" and isinstance(value, dict):
                record = {key: cell for key, cell in value.items() if cell is not None} | record
            elif value is not None and not (isinstance(value, float) and not math.isfinite(value)):
                record.setdefault("text" if name == "txt" else name, value)
        return record

    def id(self, row: Mapping[str, Any], index: int) -> str:
        """A sample's name: its key in a shard, its picture's name, or its number."""
        path = (row[self.picture] or {}).get("path")
        return str(row.get("__key__") or (Path(path.partition("::")[0]).stem if path else index))


class NamedSamples:
    """The rows of a set by name, each a picture and a record."""

    def __init__(self, rows: Dataset, columns: Columns, reading: Reading) -> None:
        self.rows = rows
        self.told = rows.select_columns(list(columns.told))
        self.columns = columns
        self.reading = reading

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Sample:
        row = row_of(self.rows, index)
        try:
            image = load_image(picture_bytes(row[self.columns.picture]))
        except (ImageError, DataError) as error:
            raise DataError(f"row {index}: {error}") from error
        return Sample(self.columns.id(row, index), image, self.record(index))

    def place(self, index: int) -> Path:
        """The name of the picture's file, which may lie inside a table."""
        row = row_of(self.rows, index)
        return Path(f"{self.columns.id(row, index)}.{picture_suffix(row[self.columns.picture])}")

    def record(self, index: int) -> dict[str, Any]:
        return with_captions(
            self.columns.fields(row_of(self.told, index)), self.reading.caption_column
        )

    def digests(self) -> dict[str, str]:
        """Digests of what the rows hold, wherever the library keeps them, by stretches of rows."""
        found = {}
        for start in range(0, len(self), ROWS):
            digest, stop = hashlib.sha256(), min(start + ROWS, len(self))
            for index in range(start, stop):
                with suppress(DataError):  # what cannot be read is found damaged
                    digest.update(json.dumps(row_of(self.told, index), default=str).encode())
                    data = picture_bytes(row_of(self.rows, index)[self.columns.picture])
                    digest.update(len(data).to_bytes(8, "big") + data)
            found[f"rows {start}-{stop - 1}"] = digest.hexdigest()[:32]
        return found


def row_of(rows: Any, index: int) -> Mapping[str, Any]:
    """A row of a set. Raises `DataError` where the library cannot give it."""
    from pyarrow import ArrowException

    try:
        row: Mapping[str, Any] = rows[index]
    except (ArrowException, OSError, *OTHERS) as error:
        raise DataError(f"row {index}: it cannot be read ({error!s:.200})") from error
    return row


def named_samples(address: str, reading: Reading, split: str | None = None) -> NamedSamples:
    """The samples of a set by name; nothing is decoded.

    Raises:
        DataError: there is none, or no column with pictures, or it is not clear which is meant.
    """
    rows, columns = _load(NamedSet.parse(address), reading.image_column, split, streaming=False)
    return NamedSamples(rows, columns, reading)


def named_shards(address: str, reading: Reading, split: str | None = None) -> list[str]:
    """Addresses of the shards of a set by name that is to be read in passing.

    Raises:
        DataError: as `named_samples`.
    """
    named = NamedSet.parse(address)
    rows, _ = _load(named, reading.image_column, split, streaming=True)
    own, count = replace(named, split=named.split or str(rows.split)), rows.num_shards
    return [str(replace(own, shard=f"{index}/{count}")) for index in range(count)]


def named_stream(address: str, reading: Reading) -> Iterator[dict[str, Any]]:
    """Samples of one of the `named_shards`, as those of a tar: bytes by suffix.

    Raises:
        DataError: it cannot be read.
    """
    named = NamedSet.parse(address)
    index, _, count = (named.shard or "0/1").partition("/")
    rows, columns = _stream(replace(named, shard=None), reading.image_column)
    with _as_data_error(named):
        for number, row in enumerate(rows.shard(num_shards=int(count), index=int(index))):
            picture, key = row[columns.picture], columns.id(row, number)
            try:
                told = json.dumps(columns.fields(row), default=str, allow_nan=False).encode()
                data = picture_bytes(picture)
            except ValueError:  # it is counted among what cannot be read
                told, data = b"{}", b""
            suffix = f"{columns.picture.lower()}.{picture_suffix(picture)}"
            yield {"__key__": key, "__url__": address, suffix: data, "json": told}


@cache
def _stream(named: NamedSet, image_column: str | None) -> tuple[IterableDataset, Columns]:
    return _load(named, image_column, None, streaming=True)


def _load(
    named: NamedSet, image_column: str | None, split: str | None, streaming: bool
) -> tuple[Any, Columns]:
    """Rows whose pictures are left as they lie, and what their columns are."""
    import datasets

    saved = _saved_to_disk(named)
    if saved and streaming:
        raise DataError(
            f"{named} was written by save_to_disk and is not read in passing: leave --streaming out"
        )
    with _as_data_error(named):
        if saved:
            check_tables(Path(named.name))
            found = datasets.load_from_disk(named.name)
        else:
            found = datasets.load_dataset(
                named.name,
                named.config,
                data_dir=named.data_dir,
                revision=named.revision,
                streaming=streaming,
                split=named.split,
            )
        if saved and named.split is not None:
            found = _part_of_saved(named, found)
        elif isinstance(found, dict):
            found = found[_chosen_split(named, list(found), split)]
        columns = _columns(named, found.features or {}, image_column)
        for name in set(found.features) - set(columns.told) - set(INNER):
            found = found.cast_column(name, datasets.Image(decode=False))
    return found, columns


def _saved_to_disk(named: NamedSet) -> bool:
    marks = ("state.json", "dataset_dict.json")
    return any(Path(named.name, mark).is_file() for mark in marks)


def check_tables(folder: Path) -> None:
    """Read the tables of a saved set through once: the library maps them into memory, where a
    truncated file ends the process and a damaged one can read beyond its cells.

    Raises:
        ArrowException: one is damaged.
    """
    import pyarrow

    for file in sorted(folder.rglob("*.arrow")):
        with pyarrow.OSFile(str(file)) as source, pyarrow.ipc.open_stream(source) as stream:
            for batch in stream:
                batch.validate(full=True)


def _chosen_split(named: NamedSet, there: list[str], split: str | None) -> str:
    """Which split is read where the address names none: the only one, or by what it is for."""
    if len(there) == 1:
        return there[0]
    kinds = {"train": ("train",), "validation": ("validation", "test")}.get(split or "", ())
    wanted = [name for kind in kinds for name in SPLITS[kind]]
    chosen = next((name for name in wanted if name in there), None)
    if chosen is None:
        raise DataError(_which_split(named, there))
    return chosen


def _part_of_saved(named: NamedSet, found: Any) -> Any:
    """The split, or slice of one such as `train[:90%]`, of a set that was saved as a whole."""
    import datasets

    parts = dict(found) if isinstance(found, dict) else {str(found.split or ""): found}
    if not any(parts):
        raise DataError(f"{named} was saved without splits: leave the split out")
    try:
        instruction = datasets.ReadInstruction.from_spec(named.split)
        wanted = instruction.to_absolute({name: len(rows) for name, rows in parts.items()})
    except (ValueError, AssertionError) as error:
        raise DataError(_which_split(named, list(parts))) from error
    rows = [parts[one.splitname].select(range(one.from_, one.to)) for one in wanted]
    return rows[0] if len(rows) == 1 else datasets.concatenate_datasets(rows)


def _which_split(named: NamedSet, there: list[str]) -> str:
    return (
        f"{named} has the splits {', '.join(there)}: say which is meant: in a training "
        "by --train-split and --val-split, measuring by --real-split and --train-split, or by "
        f"its address, such as {SCHEME}{named.name}?split={there[0]}"
    )


def _columns(named: NamedSet, features: Mapping[str, Any], asked: str | None) -> Columns:
    """The pictures are in the column that is asked for, one of a usual name, or the only one."""
    import datasets

    found = [name for name, kind in features.items() if isinstance(kind, datasets.Image)]
    usual = [name for name in found or features if name.lower() in PICTURE_FIELDS]
    column = (asked if asked in features else None) if asked else next(iter(usual), None)
    if column is None and asked is None and len(found) == 1:
        column = found[0]
    if column is None:
        raise DataError(
            f"{named}: {f'there is no column {asked!r}' if asked else 'which pictures are meant?'} "
            f"Columns with pictures are {', '.join(found) or 'none'}, others "
            f"{', '.join(name for name in features if name not in found) or 'none'}; "
            "say which by --image-column"
        )
    told = tuple(name for name in features if name not in (*found, *INNER, column))
    kinds = {name: getattr(features[name], "int2str", None) for name in told}
    return Columns(column, told, {name: kind for name, kind in kinds.items() if kind is not None})


def picture_bytes(value: Any) -> bytes:
    """The file of a picture, of how the library stores it undecoded.

    Raises:
        DataError: there is none, or it is said to lie where this set's pictures do not.
    """
    data, path = (value or {}).get("bytes"), (value or {}).get("path")
    if data is not None:
        return bytes(data)
    if not path:
        raise DataError("it has no picture")
    try:
        if "://" not in path:
            with Path(path).open("rb") as stream:
                return _bounded(stream)
        if not path.rpartition("::")[2].startswith("hf://"):
            raise DataError(f"its picture is said to lie at {path[:200]}, outside of the set")
        import fsspec

        with fsspec.open(path, "rb") as stream:
            return _bounded(stream)
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path[:300]} cannot be read ({error!s:.200})") from error


def _bounded(stream: Any) -> bytes:
    data: bytes = stream.read(MOST_PICTURE + 1)
    if len(data) > MOST_PICTURE:
        raise DataError(f"its picture has more than {MOST_PICTURE:,} bytes")
    return data


def picture_suffix(value: Any) -> str:
    """The suffix of a picture's file, by its name or else by what it is."""
    kind = str((value or {}).get("path") or "").rpartition(".")[2].lower()
    if is_picture(kind):
        return kind
    with suppress(OSError, ValueError, KeyError, TypeError, Image.DecompressionBombError):
        kind = str(Image.open(io.BytesIO(value["bytes"])).format).lower()
    return kind if is_picture(kind) else "png"


@contextmanager
def _as_data_error(named: NamedSet) -> Iterator[None]:
    """What the library says of a set that cannot be had, in one line."""
    from datasets.exceptions import DatasetsError
    from pyarrow import ArrowException

    try:
        yield
    except DataError:
        raise
    except (DatasetsError, ArrowException, OSError, *OTHERS) as error:
        said = " ".join(str(error).split())
        raise DataError(
            f"{named} cannot be loaded ({said[:400] or type(error).__name__}): wanted a hub id, a "
            "folder, or a builder such as imagefolder with its folder (--train-data-dir)"
        ) from error
