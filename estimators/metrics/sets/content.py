"""What is kept on disk, under a hash of all that it depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ufc_base.files import write_atomically
from ufc_base.formats.archives import read_array

MOST_FEATURES = 2**33  # bytes, of one set: a million pictures have 8 GB


def cached(
    folder: str | Path | None,
    key: Mapping[str, object],
    compute: Callable[[], NDArray[np.float32]],
) -> NDArray[np.float32]:
    """`compute()`, or what it gave for an equal `key` before, kept in `folder` (None: no cache).

    The key must name everything that the features depend on, by content (`DataSet.content`).
    """
    if folder is None:
        return compute()
    path = Path(folder) / f"features-{key_hash(key)}.npy"
    if path.is_file():
        with suppress(ValueError):  # damaged: it is computed anew
            return read_array(path, MOST_FEATURES)
    features = compute()
    write_atomically(path, lambda stream: save_array(stream, features))
    return features


def save_array(stream: BinaryIO, values: NDArray[Any]) -> None:
    """`np.save`, but an error says what the disk did: numpy's own way to files keeps it back."""
    np.save(SimpleNamespace(write=stream.write), values)


def key_hash(key: Mapping[str, object]) -> str:
    """A short hash of what something kept depends on."""
    return hashlib.sha256(json.dumps(dict(key), sort_keys=True).encode()).hexdigest()[:24]
