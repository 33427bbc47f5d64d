"""The settings of a run, kept in its folder as `settings.json`; `--config` reads it too."""

from __future__ import annotations

import json
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

from ufc_base.checkpoint import CheckpointError, read_json
from ufc_base.files import write_text

FILE = "settings.json"
NOT_KEPT = ("resume_from_checkpoint", "output_dir")  # how a run is started, and where it lies


def write_settings(folder: str | PathLike[str], settings: Any) -> None:
    """Write a settings dataclass, whole or not at all."""
    path = Path(folder) / FILE
    write_text(path, json.dumps(kept(settings), indent=2, ensure_ascii=False) + "\n")


def read_settings(folder: str | PathLike[str]) -> dict[str, Any] | None:
    """Settings by name; None where none are kept, as in a run of an older version.

    Raises:
        CheckpointError: the file is damaged.
    """
    path = Path(folder) / FILE
    return read_json(path) if path.is_file() else None


def changes(before: dict[str, Any], settings: Any) -> list[str]:
    """`name old -> new` of every setting that is not what it was."""
    now = kept(settings)
    return [
        f"{name} {json.dumps(before[name], ensure_ascii=False)} -> "
        f"{json.dumps(value, ensure_ascii=False)}"
        for name, value in now.items()
        if name in before and before[name] != value
    ]


def told_changes(folder: str | PathLike[str], settings: Any) -> str | None:
    """A line about what differs from the settings kept in `folder`; None where nothing does."""
    try:
        before = read_settings(folder)
    except CheckpointError as error:
        return f"what settings the run had is not known: {error}"
    found = changes(before, settings) if before is not None else []
    return f"other settings than before: {'; '.join(found)}" if found else None


def kept(settings: Any) -> dict[str, Any]:
    """The settings of a run as JSON has them: lists for tuples."""
    values = {name: value for name, value in asdict(settings).items() if name not in NOT_KEPT}
    loaded: dict[str, Any] = json.loads(json.dumps(values))
    return loaded
