"""What a file's name says, alike for folders and shards: picture or not, whose, to be seen or not.

Names go together as WebDataset has it: a sample's key is what precedes the first dot of the base
name (`ID.image.png`, `ID.caption.txt`). Ids with dots are seen by what they have of their own:
`shoe.1.png` and `shoe.1.txt` beside `shoe.2.png` and `shoe.2.txt` are two samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import groupby
from typing import TypeVar

from PIL import Image

from ufc_base import reading
from ufc_base.visible_text import OneLineError

T = TypeVar("T")

# What systems put beside the files of people; names with a dot in front are passed over anyway.
SYSTEM_NAMES = frozenset(
    ("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found")
)
PREFERRED = ("webp", "jpg", "jpeg", "png", "bmp")  # of one picture stored twice
PICTURE_FIELDS = ("image", "img", "picture", "photo")  # `ID.image.png` beside `ID.mask.png`
TOLD = ("json", "txt", "text", "caption", "captions", "cap")  # suffixes of what is known of one


class DataError(OneLineError):
    """Training data that cannot be used; the message says what was found and what is wanted."""


def is_hidden(name: str) -> bool:
    """Whether a path inside a data set is a system's or a program's own, and no part of the set."""
    return any(
        part.lower() in SYSTEM_NAMES
        or (part.startswith(".") and part not in (".", ".."))
        or (part.startswith("__") and part.endswith("__"))
        for part in name.split("/")
    )


@cache
def picture_suffixes() -> tuple[str, ...]:
    """Suffixes, without dot, of every format that single pictures are read in; preferred first."""
    Image.init()
    known = Image.registered_extensions().items()
    found = {suffix[1:] for suffix, kind in known if kind in reading.FORMATS}
    return tuple(s for s in PREFERRED if s in found) + tuple(sorted(found.difference(PREFERRED)))


def is_picture(name: str) -> bool:
    """Whether a file, by its name or suffix, is a picture."""
    return name.rpartition(".")[2].lower() in picture_suffixes()


def is_told(suffix: str) -> bool:
    """Whether a file, by its suffix, says something of a picture."""
    return suffix.rpartition(".")[2].lower() in TOLD


def split_name(name: str) -> tuple[str, str]:
    """Key and suffix of a file: they meet at the first dot of the base name."""
    folder, slash, base = name.removeprefix("./").rpartition("/")
    key, _, suffix = base.partition(".")
    return folder + slash + key, suffix


def grouped(
    files: Iterable[tuple[str, T]], image_column: str | None = None
) -> Iterator[tuple[str, dict[str, T]]]:
    """Samples, as key and files by suffix (lower case), of files by name, a sample's together.

    Hidden names are passed over; of two files of one name the later counts. With `image_column`
    names are fields of their sample (`ID.left.png`), whatever else they might be.
    """
    seen = ((*split_name(name), file) for name, file in files if not is_hidden(name))
    for key, run in groupby(seen, key=lambda item: item[0]):
        own = {suffix: file for _, suffix, file in run}
        found = _apart(key, own) if image_column is None else [(key, own)]
        for whole, files_of in found:
            yield whole, {suffix.lower(): file for suffix, file in files_of.items()}


def _apart(key: str, files: dict[str, T]) -> Iterator[tuple[str, dict[str, T]]]:
    """One sample, or several whose ids have dots and share what precedes the first of them.

    Most of what the next part of the names sets apart is then whole, with picture and words.
    """
    if not any(map(is_told, files)):  # pictures and nothing else: each by itself
        for suffix, file in files.items():
            stem, dot, kind = suffix.rpartition(".")
            yield key + dot + stem, {kind: file}
        return
    parts: dict[str, dict[str, T]] = {}
    for suffix, file in files.items():
        part, _, rest = suffix.partition(".")
        parts.setdefault(part if rest else "", {})[rest or suffix] = file
    whole = sum(any(map(is_picture, own)) and any(map(is_told, own)) for own in parts.values())
    if "" in parts or 2 * whole <= len(parts):
        yield key, files
        return
    for part, own in parts.items():
        yield from _apart(f"{key}.{part}", own)


def picture_of(suffixes: Iterable[str], image_column: str | None = None) -> str | None:
    """Which of a sample's files, by suffix, is its picture; None if there is none.

    Raises:
        DataError: there are several, and nothing says which.
    """
    found = sorted(filter(is_picture, suffixes), key=_preference)
    if image_column is not None:
        wanted = image_column.lower()
        return next((s for s in found if wanted in (s, s.rpartition(".")[0])), None)
    plain = [suffix for suffix in found if "." not in suffix]
    usual = [suffix for suffix in found if suffix.partition(".")[0] in PICTURE_FIELDS]
    chosen = plain[:1] or usual[:1] or found
    if len(chosen) > 1:
        raise DataError(
            f"its pictures are {', '.join(chosen[:4])}{' …' * (len(chosen) > 4)}: say which is "
            f"meant, such as --image-column {chosen[0].rpartition('.')[0]} (a sample's key ends "
            "at the first dot of the name)"
        )
    return chosen[0] if chosen else None


def _preference(suffix: str) -> tuple[int, str]:
    return picture_suffixes().index(suffix.rpartition(".")[2]), suffix


def joined_by_key(files: Mapping[str, T]) -> list[tuple[str, T]]:
    """Named files with those of one key brought together, in the order in which keys appear."""
    keys: dict[str, list[tuple[str, T]]] = {}
    for name, file in files.items():
        keys.setdefault(split_name(name)[0], []).append((name, file))
    return [item for items in keys.values() for item in items]
