"""What a kind of hostile input is. An input is a folder."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ufc_base.data.datasets import Reading

Rng = random.Random
Read = Callable[[Path], object]
ALL = Reading(max_unreadable=1.0, keep=False)


@dataclass(frozen=True)
class Kind:
    """How many inputs there are, how each is made, which parsers read it.

    Attributes:
        count: inputs in a whole run.
        make: writes one into an empty folder.
        past: whether it got past the header: whether another program that knows the format would
            take the file for one of its kind and begin to read what is inside.
        read: the parsers by name.
    """

    count: int
    make: Callable[[Rng, Path], object]
    past: Callable[[Path], object]
    read: Mapping[str, Read]


def only(folder: Path) -> Path:
    """The file of an input that has one; paths of parsers' own are made beside it."""
    return next(path for path in sorted(folder.iterdir()) if path.is_file())


def write(name: str, make: Callable[[Rng], bytes]) -> Callable[[Rng, Path], object]:
    return lambda rng, folder: (folder / name).write_bytes(make(rng))
