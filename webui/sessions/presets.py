"""Presets of a visitor's own: settings under a name, without the words of a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ufc_base.files import write_atomically
from ufc_base.formats.json_text import load_json
from webui.sessions.state import RefusedError, Settings, within
from webui.sessions.state.session import checked

MOST_PRESETS = 40
MOST_LETTERS_OF_A_NAME = 40
# What belongs to one picture, or to the page, and not to a way of making pictures.
NOT_IN_A_PRESET = ("lang", "prompt", "seed", "seed_locked", "controls")


class Presets:
    """Named settings in a JSON file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, dict[str, Any]]:
        """The settings by name, as they were saved, but for what is damaged."""
        try:
            found = load_json(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        named = found.items() if isinstance(found, dict) else ()
        return {name: told for name, told in named if isinstance(told, dict) and sound(name, told)}

    def save(self, name: str, settings: Settings) -> None:
        """Keep settings under a name, instead of what had it.

        Raises:
            RefusedError: no name, or too many presets.
        """
        name = " ".join(name.split())[:MOST_LETTERS_OF_A_NAME]
        known = self.read()
        if not name:
            raise RefusedError("preset_no_name")
        if name not in known and len(known) >= MOST_PRESETS:
            raise RefusedError("preset_full", most=MOST_PRESETS)
        told = {one.name: getattr(settings, one.name) for one in fields(Settings)}
        known[name] = {key: told[key] for key in told if key not in NOT_IN_A_PRESET}
        self._write(known)

    def remove(self, name: str) -> None:
        """Forget a preset."""
        self._write({other: told for other, told in self.read().items() if other != name})

    def _write(self, known: Mapping[str, Any]) -> None:
        text = written(known)
        write_atomically(self.path, lambda file: file.write(text))


def written(known: Mapping[str, Any]) -> bytes:
    """Presets as JSON. Raises `ValueError` for what no JSON can hold, as NaN or half a letter."""
    return json.dumps(known, ensure_ascii=False, allow_nan=False, default=dict).encode()


def sound(name: str, told: Mapping[str, Any]) -> bool:
    """Whether a preset can be written again, beside others."""
    try:
        written({name: told})
    except ValueError:
        return False
    return True


def with_preset(settings: Settings, told: Mapping[str, Any]) -> Settings:
    """Settings with those of a preset, brought to where the page can be set.

    Raises:
        RefusedError: values of other types; anybody may have written the file.
    """
    mine = {one.name for one in fields(Settings)} - {*NOT_IN_A_PRESET}
    values = {name: value for name, value in told.items() if name in mine}
    own = {one.name: getattr(settings, one.name) for one in fields(Settings)}
    try:
        return within(checked(Settings).validate_python(own | values))
    except ValidationError:
        raise RefusedError("preset_unknown") from None
