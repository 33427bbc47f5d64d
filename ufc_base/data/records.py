"""What is known of pictures: files beside them, metadata files, and captions under any name."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ufc_base.data.names import DataError
from ufc_base.formats.json_text import load_json

METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
CAPTIONS = ("text", "caption", "captions")  # the first of them that is there is the caption
MAX_UNREADABLE = 0.01
PARQUET_ROWS = 32  # at a time: a text that is stored once may stand in every row
MOST_PARQUET = 2**30  # bytes of all rows, once they are no longer packed


@dataclass(frozen=True)
class Reading:
    """How a data set is read.

    Attributes:
        caption_column: the field that holds the captions, and no other; else the first of
            `text`, `caption` and `captions`.
        image_column: which of several pictures of a sample, or which column of a metadata file
            names the pictures.
        max_unreadable: share of the pictures, 0..1, that may be unreadable and are left out.
        keep: whether the user's cache keeps which pictures are unreadable.
    """

    caption_column: str | None = None
    image_column: str | None = None
    max_unreadable: float = MAX_UNREADABLE
    keep: bool = True


USUAL = Reading()


def texts_of(value: object) -> list[str]:
    """The texts that a field holds: one, or a list of them; blank ones are none."""
    found = value if isinstance(value, list | tuple) else [value]
    return [text for text in found if isinstance(text, str) and text.strip()]


def with_captions(record: Mapping[str, Any], column: str | None = None) -> dict[str, Any]:
    """A record whose `text` is one caption, `text_zh` one, and `captions` all others.

    With `column` its captions are those of that field alone.
    """
    out = dict(record)
    if column is not None:
        for name in (*CAPTIONS, "text_zh"):
            out.pop(name, None)
        texts = others = texts_of(record.get(column))
    else:
        name = next((name for name in CAPTIONS if texts_of(record.get(name))), "text")
        texts = texts_of(record.get(name))
        others = texts[1:] + (texts_of(record.get("captions")) if name != "captions" else [])
        if isinstance(record.get("text_zh"), list | tuple):
            chinese = texts_of(record["text_zh"])
            out["text_zh"], others = (chinese or [""])[0], others + chinese[1:]
    if texts:
        out["text"] = texts[0]
        others = [text for text in others if text != texts[0]]
        out.pop("captions", None)
        if others:
            out["captions"] = others
    return out


def has_caption(record: Mapping[str, Any]) -> bool:
    """Whether a record, once through `with_captions`, has any caption."""
    return bool(texts_of(record.get("text")) or texts_of(record.get("text_zh")))


def parse_record(files: Mapping[str, bytes]) -> dict[str, Any]:
    """What the files beside a picture say of it, by their suffixes.

    `json` is an object; `txt` is the `text`, `caption` (or `caption.txt`) the `caption`,
    `title.txt` the field `title`; other objects are merged, other JSON becomes a field.

    Raises:
        DataError: they are not JSON and UTF-8 text.
    """
    record: dict[str, Any] = {}
    try:
        for suffix in sorted(files, key=lambda suffix: (suffix != "json", suffix)):
            name, _, kind = suffix.rpartition(".")
            if kind == "json":
                value = load_json(files[suffix])
                refuse_surrogates(files[suffix].decode("utf-8-sig", errors="replace"), value)
                if not isinstance(value, dict) and not name:
                    raise DataError(f"its json holds a {type(value).__name__}, wanted an object")
                record = (value if isinstance(value, dict) else {name: value}) | record
            else:
                field = name or ("text" if kind in ("txt", "text") else "caption")
                record.setdefault(field, files[suffix].decode("utf-8-sig").strip())
    except DataError:
        raise
    except ValueError as error:
        raise DataError(f"its json or txt cannot be read ({error!s:.200})") from error
    return record


def refuse_surrogates(text: str, value: Any) -> None:
    """Raise `DataError` where JSON `text` spells half a character, which no tokenizer takes."""
    if "\\u" not in text:  # only an escape can
        return
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = ascii(error.object[error.start]).strip("'")
        raise DataError(f"half a character, {half}: write the text as UTF-8") from None


def read_metadata(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a metadata file, each with where it stands; empty cells are left out.

    Raises:
        DataError: it cannot be read.
    """
    rows = {".jsonl": _jsonl_rows, ".csv": _csv_rows, ".parquet": _parquet_rows}[path.suffix]
    try:
        yield from rows(path)
    except UnicodeDecodeError as error:
        number = error.object[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path}, line {number}: is not UTF-8 ({error.reason}): save it as UTF-8"
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error})") from error


def _jsonl_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    # Not by `splitlines`: line separators of Unicode's are part of a text.
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            record = load_json(line)
        except ValueError as error:
            raise DataError(f"{where}: is not JSON ({error!s:.200})") from error
        if not isinstance(record, dict):
            raise DataError(f"{where}: got a {type(record).__name__}, wanted an object")
        try:
            refuse_surrogates(line, record)
        except DataError as error:
            raise DataError(f"{where}: {error}") from None
        yield where, record


def _csv_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream, strict=True)
        try:
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                if None in row:
                    raise DataError(
                        f"{where}: has more cells than the first line has names; a text with "
                        "commas wants quotation marks around it"
                    )
                yield where, {name: cell for name, cell in row.items() if cell}
        except csv.Error as error:
            raise DataError(
                f"{path}, line {reader.line_num}: is not CSV ({error!s:.200})"
            ) from error


def _parquet_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise DataError(
            f"{path} needs pyarrow ({error}): pip install pyarrow, or write it as metadata.jsonl"
        ) from error
    try:
        number = size = 0
        for batch in ParquetFile(path).iter_batches(batch_size=PARQUET_ROWS):
            plain = (getattr(one, "dictionary_decode", lambda one=one: one)() for one in batch)
            size += sum(column.nbytes for column in plain)
            if size > MOST_PARQUET:
                raise DataError(f"{path}: its rows have more than {MOST_PARQUET:,} bytes")
            for row in batch.to_pylist():
                number += 1
                told = {name: cell for name, cell in row.items() if cell is not None}
                yield f"{path}, row {number}", told
    except (ArrowException, OSError, UnicodeDecodeError, MemoryError, OverflowError) as error:
        raise DataError(f"{path} is not a readable parquet file ({error!s:.200})") from error


def take_picture_names(record: dict[str, Any], image_column: str | None, where: str) -> list[str]:
    """The pictures that a row of a metadata file names, taken out of it.

    They stand under `file_name`, `NAME_file_name`, or as lists under `file_names` and
    `NAME_file_names`.

    Raises:
        DataError: it names none, or several columns do.
    """
    columns = [name for name in record if _names_pictures(name)]
    if image_column is not None:
        asked = [image_column, f"{image_column}_file_name", f"{image_column}_file_names"]
        asked += ["file_name", "file_names"] if image_column == "image" else []
        column = next((name for name in asked if name in record), None)
    else:
        usual = ["file_name", "file_names", "image_file_name", "image_file_names"]
        column = next((name for name in usual if name in columns), None)
        if column is None and len(columns) > 1:
            raise DataError(
                f"{where}: pictures are named by {', '.join(columns)}: say which with "
                f"--image-column {columns[0].rpartition('_file_name')[0]}"
            )
        column = column or (columns[0] if columns else None)
    value = None if column is None else record.pop(column)
    names = texts_of(value)
    if not names:
        raise DataError(
            f'{where}: wanted "{image_column or "file_name"}", the name of a picture; there are '
            f"{', '.join(map(str, record)) or 'no fields'} (--image-column names another)"
        )
    return [name.replace("\\", "/") for name in names]


def _names_pictures(column: str) -> bool:
    return column in ("file_name", "file_names") or column.endswith(("_file_name", "_file_names"))
