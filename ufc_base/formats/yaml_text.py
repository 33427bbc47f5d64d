"""YAML of files that anybody may have written: plain values, in bounded time and memory.

Anchors are not read: a file of a few lines can stand for a list of any length by them.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import yaml

MOST_BYTES = 100_000  # the scanner is slow; recipes have two thousand
MOST_NESTED = 50
# What PyYAML raises, beside its own errors, at an impossible date and its like.
ODD_VALUES = (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RecursionError)


class BoundedLoader(yaml.SafeLoader):
    """A safe loader without anchors and without endless depth."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.nested = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()
        mark: Any = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            said = "aliases (*name) are not read: write the value out"
            raise yaml.composer.ComposerError(None, None, said, mark)
        self.nested += 1
        if self.nested > MOST_NESTED:
            raise yaml.composer.ComposerError(None, None, "values are nested too deeply", mark)
        try:
            return super().compose_node(parent, index)
        finally:
            self.nested -= 1


def open_yaml(path: str | PathLike[str]) -> BoundedLoader:
    """A loader of a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not UTF-8, too large, or holds characters that YAML has not.
    """
    size = Path(path).stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"has {size:,} bytes, more than the {MOST_BYTES:,} read of YAML")
    try:
        return BoundedLoader(Path(path).read_text(encoding="utf-8-sig"))
    except yaml.YAMLError as error:
        raise ValueError(f"is not YAML ({told(error)})") from None


def load_yaml(path: str | PathLike[str]) -> Any:
    """The value of a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no YAML of plain values; the message says why, with the line.
    """
    loader = open_yaml(path)
    try:
        return loader.get_single_data()
    except yaml.YAMLError as error:
        raise ValueError(f"is not YAML ({told(error)})") from None
    except ODD_VALUES as error:
        raise ValueError(f"holds a value that cannot be read ({error!s:.100})") from None


def told(error: yaml.YAMLError) -> str:
    """What is wrong, on one line, and in which line of the file."""
    mark = getattr(error, "problem_mark", None)
    said = str(getattr(error, "problem", None) or getattr(error, "reason", None) or error)
    said = " ".join(said.split())[:200]
    return f"{said}, line {mark.line + 1}" if mark else said
