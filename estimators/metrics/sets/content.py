"""What is kept on disk, under a hash of all that it depends on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from ufc_base.data.datasets import FolderSamples, shard_urls


def cached(
    folder: str | Path | None,
    key: Mapping[str, object],
    compute: Callable[[], NDArray[np.float32]],
) -> NDArray[np.float32]:
    """`compute()`, or what it gave for an equal `key` before, kept in `folder` (None: no cache).

    The key must name everything that the features depend on, by content: see `content_hash`.
    """
    if folder is None:
        return compute()
    path = Path(folder) / f"features-{key_hash(key)}.npy"
    if path.is_file():
        loaded: NDArray[np.float32] = np.load(path, allow_pickle=False)
        return loaded
    features = compute()
    write_whole(path, lambda stream: np.save(stream, features))
    return features


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file that is there wholly or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as stream:
        write(stream)
    part.replace(path)


def key_hash(key: Mapping[str, object]) -> str:
    """A short hash of what something kept depends on."""
    return hashlib.sha256(json.dumps(dict(key), sort_keys=True).encode()).hexdigest()[:24]


def data_files(path: str | Path) -> list[Path]:
    """All files that a data set is made of: shards by any of their names, or what a folder holds.

    Pictures that a folder's `metadata.jsonl` names elsewhere are among them.
    """
    root, shards = Path(path), [Path(url) for url in shard_urls(path)]
    if not root.is_dir():
        return shards or [root]
    inside = {p for p in root.rglob("*") if p.is_file()}
    named = () if shards else (picture for picture, _ in FolderSamples(root).rows)
    return sorted(inside.union(named))


def content_hash(path: str | Path) -> str:
    """A hash of all files of a data set (or of one file): names and bytes, not dates.

    Raises:
        OSError: one of them is not there.
    """
    root = Path(path)
    base = root if root.is_dir() else root.parent
    digest = hashlib.sha256()
    for file in data_files(path):
        digest.update(os.path.relpath(file, base).encode())
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
