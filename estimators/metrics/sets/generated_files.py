"""Pictures by the names that `ufc generate` gives them."""

from __future__ import annotations

import re
from pathlib import Path

from ufc_base.data.names import is_hidden

_PICTURE_NAME = re.compile(r"(?P<id>.+)-(?P<seed>\d+)-(?P<index>\d+)\.(png|webp|jpe?g)")


def find_pictures(folder: str | Path) -> list[tuple[str, Path]]:
    """(id, path) of the pictures named `{id}-{seed}-{index}.png` in a folder, sorted by name.

    Raises:
        ValueError: there is none.
    """
    seen = [p for p in sorted(Path(folder).glob("*")) if not is_hidden(p.name) and p.is_file()]
    matches = [(_PICTURE_NAME.fullmatch(path.name), path) for path in seen]
    found = [(match["id"], path) for match, path in matches if match]
    if not found:
        raise ValueError(f"{folder}: no picture named {{id}}-{{seed}}-{{index}}.png to judge")
    return found
