"""Files that are there wholly or not at all, whenever the program or the machine stops."""

from __future__ import annotations

import os
import re
import secrets
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from safetensors import SafetensorError

_IN_WORDS = re.compile(r"\(os error ([0-9]{1,5})\)")  # of Rust's


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have errors of the disk say which file they are about.

    torch hides them behind errors of its own, safetensors says their numbers in words.
    """
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise
    except (RuntimeError, SafetensorError) as error:
        number = _number_of(error)
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


def _number_of(error: RuntimeError | SafetensorError) -> int | None:
    """The system's number of an error that hides it."""
    hidden, said = error.__context__, _IN_WORDS.search(str(error))
    if isinstance(hidden, OSError):
        return hidden.errno
    return int(said[1]) if said else None


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to; what was written becomes `path` at the end, at once.

    A reader sees the old file or the whole new one, which is on the disk by then. Nothing is left
    behind on an error, and after a kill nothing but a hidden `.ufc-….tmp`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.parent / f".ufc-{os.getpid()}-{secrets.token_hex(4)}.tmp"
    try:
        with naming(path):
            yield partial
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Call `write` with an open file that becomes `path`; see `whole_file`."""
    with whole_file(path) as partial, partial.open("xb") as file:
        write(file)


def folded(name: str) -> str:
    """What two names have in common that are one on systems which ignore case or accents' form."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


def write_text(path: Path, text: str) -> None:
    """A text as UTF-8; see `whole_file`."""
    write_atomically(path, lambda file: file.write(text.encode("utf-8")))


def sync_folder(folder: Path) -> None:
    """Bring a folder's names to the disk, where the system can."""
    if os.name != "posix":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
