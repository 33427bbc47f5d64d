"""Tensors that take long to compute, kept in a file under a key of all that they depend on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ufc_base.files import whole_file


def kept_tensors(file: Path, key: str, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors kept in a file under a key; made and written where they are not there, or unsound."""
    try:
        with safe_open(file, framework="pt") as stored:
            if (stored.metadata() or {}).get("key") == key:
                return {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        pass
    made = make()
    with whole_file(file) as partial:
        save_file(made, partial, metadata={"key": key})
    return made
