"""What the page says, in English and Chinese: `LANG.json`."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from importlib.resources import files

LANGUAGES = {"en": "English", "zh": "中文"}

Say = Callable[..., str]


def speak(lang: str) -> Say:
    """A function from a string's name, and what is filled into it, to the string in `lang`."""
    known = strings(lang if lang in LANGUAGES else "en")

    def say(name: str, /, **values: object) -> str:
        return known[name].format(**values)

    return say


@cache
def strings(lang: str) -> dict[str, str]:
    path = files("webui") / "strings" / f"{lang}.json"
    return dict(json.loads(path.read_text(encoding="utf-8")))
