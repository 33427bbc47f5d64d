"""Settings of a recipe: a dataclass field with a default and a help text for the command line."""

from __future__ import annotations

from dataclasses import field
from typing import Any


def setting(default: Any, help: str) -> Any:
    """A dataclass field whose `help` the command line shows."""
    return field(default=default, metadata={"help": help})
