"""Visitors' words where Markdown is read."""

from __future__ import annotations

import re


def plain(text: str) -> str:
    """A text so that Markdown shows it as it is."""
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|<>~$:])", r"\\\1", text)
