"""Arrays of numpy inside what `torch.save` wrote, read without numpy being called by the file.

Torch's restricted loader reads tensors alone, and numpy's own way back from a pickle makes an array
of any size before there are numbers for it. Here the file says kind, shape and bytes, no more.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ufc_base.formats.pickles import check_torch_file, shortly

MULTIARRAY = ("numpy._core.multiarray", "numpy.core.multiarray")
NAMES = frozenset(
    ("numpy ndarray", "numpy dtype", "_codecs encode", *(f"{m} _reconstruct" for m in MULTIARRAY))
)
KINDS = ("f8", "f4")


class StoredKind:
    """A dtype, reduced to what it says."""

    def __init__(self, name: object, *_: object) -> None:
        self.name, self.order = name, "|"

    def __setstate__(self, state: Any) -> None:
        self.order = state[1]


class StoredArray:
    """An array, reduced to what it says."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def read(self) -> NDArray[Any]:
        """Raises `ValueError` where it is none of real numbers, or has other than its bytes."""
        _, shape, kind, by_columns, data = self.state
        if kind.name not in KINDS or kind.order not in "<>=":
            raise ValueError(f"its numbers are {kind.name!r}, wanted one of {', '.join(KINDS)}")
        flat = np.frombuffer(data, dtype=kind.order + kind.name)
        return flat.reshape(shape, order="F" if by_columns else "C")


class ArrayUnpickler(pickle.Unpickler):
    """An unpickler that resolves no name by importing and knows arrays of numbers alone."""

    def find_class(self, module: str, name: str) -> Any:
        if module in MULTIARRAY and name == "_reconstruct":
            return lambda *_: StoredArray()
        known: dict[tuple[str, str], Any] = {
            ("numpy", "ndarray"): None,
            ("numpy", "dtype"): StoredKind,
            ("_codecs", "encode"): encoded,
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"it holds more than arrays: {module}.{name}")
        return known[(module, name)]

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it holds tensors, wanted arrays")


def encoded(text: str, encoding: str) -> bytes:
    """Bytes as this kind of pickle spells them."""
    if encoding != "latin1":
        raise ValueError(f"its bytes are spelt in {encoding[:20]!r}, wanted latin1")
    return text.encode("latin1")


def read_pickled(path: str | PathLike[str]) -> dict[str, NDArray[Any]]:
    """What a file of `torch.save` holds: by name arrays of real numbers; a text or number as one.

    Raises:
        ValueError: it is no such file, is damaged, or holds more.
    """
    try:
        check_torch_file(path, NAMES)
        with zipfile.ZipFile(path) as archive:
            program = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            found = ArrayUnpickler(io.BytesIO(archive.read(program))).load()
        return {
            str(name): value.read() if isinstance(value, StoredArray) else np.asarray(value)
            for name, value in found.items()
        }
    except Exception as error:  # a damaged pickle can fail in any way
        raise ValueError(shortly(error)) from error
