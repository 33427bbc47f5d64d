"""JSON of files that anybody may have written: whatever is wrong with it is a `ValueError`."""

from __future__ import annotations

import json
from typing import Any

MOST_NESTED = 100  # lists and objects within one another; who writes it again must not fail


def load_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is none, holds a number of too many digits, or is nested too deeply.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 ({error.reason})") from None
    if depth(value) > MOST_NESTED:
        raise ValueError("it is nested too deeply")
    return value


def depth(value: object, most: int = MOST_NESTED) -> int:
    """How many lists and objects lie within one another; stops where they are more than `most`."""
    found, level = 0, [value]
    while level and found <= most:
        level = [
            item
            for outer in level
            if isinstance(outer, dict | list)
            for item in (outer.values() if isinstance(outer, dict) else outer)
        ]
        found += 1
    return found
