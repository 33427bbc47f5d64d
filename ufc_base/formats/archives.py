"""Zip files that hold arrays or tensors, looked at before they are read.

A few kilobytes can be deflated gigabytes, and entries can lie about their sizes or over one
another. What numpy and torch write is stored as it is, or not much larger than its file.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_ARRAYS = 2**29  # bytes of all arrays of a file; statistics of 2048 features have 34 MB
UNREADABLE = Exception  # readers of damaged archives raise anything at all


def stored_only(archive: zipfile.ZipFile, size: int) -> None:
    """Raise `ValueError` unless all is stored as it is, each byte once, as `torch.save` does."""
    entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError("its entries are compressed, which torch.save does not do")
    if sum(entry.file_size for entry in entries) > size:
        raise ValueError("its entries say that they are larger than the file")
    sound_names(archive)


def sound_names(archive: zipfile.ZipFile) -> None:
    """Raise `ValueError` where names lead elsewhere, or are there twice."""
    names = archive.namelist()
    if any(name.startswith("/") or ".." in name.split("/") for name in names):
        raise ValueError("its entries lead outside of it")
    if len(set(names)) < len(names):
        raise ValueError("it has two entries of one name")


def read_arrays(path: str | PathLike[str], most: int = MOST_ARRAYS) -> dict[str, NDArray[Any]]:
    """All arrays of an `.npz`, none of them of objects.

    Raises:
        ValueError: it is none, is damaged, holds more than `most` bytes, or has names that lead
            elsewhere.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            sound_names(archive)
            size = sum(entry.file_size for entry in archive.infolist())
        if size > most:
            raise ValueError(f"its arrays have {size:,} bytes, more than the {most:,} allowed")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except UNREADABLE as error:
        raise ValueError(" ".join(str(error).split())[:200] or type(error).__name__) from error
    wrong = [name for name, value in arrays.items() if not isinstance(value, np.ndarray)]
    if wrong:
        raise ValueError(f"{wrong[0][:100]!r} is no array")
    return arrays


def read_array(path: str | PathLike[str], most: int = MOST_ARRAYS) -> NDArray[Any]:
    """The array of an `.npy`. Raises `ValueError` where it is none, or too large."""
    try:
        if Path(path).stat().st_size > most:
            raise ValueError(f"has more than the {most:,} bytes allowed")
        loaded = np.load(path, allow_pickle=False)
    except UNREADABLE as error:
        raise ValueError(" ".join(str(error).split())[:200] or type(error).__name__) from error
    if not isinstance(loaded, np.ndarray):
        raise ValueError("is no array")
    return loaded


def number_of(arrays: Mapping[str, NDArray[Any]], name: str, default: int | None = None) -> int:
    """A single whole number. Raises `ValueError` where there is none."""
    if name not in arrays and default is not None:
        return default
    value = arrays[name]
    if value.shape != () or value.dtype.kind not in "iu":
        raise ValueError(f"{name} is {value.dtype} of shape {value.shape}, wanted a whole number")
    return int(value)
