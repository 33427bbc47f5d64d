"""The kinds of hostile inputs by name, and their inputs by number."""

from __future__ import annotations

import os
import random
from pathlib import Path

from . import (
    of_adapters,
    of_arrays,
    of_data,
    of_estimators,
    of_models,
    of_pictures,
    of_sessions,
    of_texts,
)
from .base import Kind, Rng

ROOMS = (
    of_pictures, of_data, of_texts, of_models, of_adapters, of_estimators, of_arrays, of_sessions,
)  # fmt: skip
KINDS: dict[str, Kind] = {name: kind for room in ROOMS for name, kind in room.KINDS.items()}


def rng_of(kind: str, seed: int) -> Rng:
    return random.Random(f"{kind}/{seed}")


def make(kind: str, seed: int, folder: Path) -> None:
    """Write the input of a kind and a number into an empty folder."""
    KINDS[kind].make(rng_of(kind, seed), folder)


def is_past(kind: str, folder: Path) -> bool:
    try:
        KINDS[kind].past(folder)
    except Exception:
        return False
    return True


os.environ.setdefault("UFC_DEBUG", "")
