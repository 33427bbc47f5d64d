"""Text that anybody may have written, as it can be shown: what a terminal would obey is escaped.

A prompt or a file name may hold sequences that colour, move or retitle a terminal, and marks that
have a line read in another order than it is written.
"""

from __future__ import annotations

import re

# Control characters (C0, delete, C1), separators of lines, and marks of direction.
_OBEYED = "\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
_ANY = re.compile(f"[{_OBEYED}]")
_BUT_LAYOUT = re.compile(f"(?![\n\t])[{_OBEYED}]")


class OneLineError(ValueError):
    """An error whose message is one line that can be shown, whatever it quotes."""

    def __init__(self, message: object = "") -> None:
        super().__init__(escaped_line(" ".join(str(message).splitlines())))


def escaped(text: str) -> str:
    """The text with escapes, as JSON has them, for what would be obeyed; lines and tabs stay."""
    return _BUT_LAYOUT.sub(_escape, text)


def escaped_line(text: str) -> str:
    """The same on one line: ends of lines and tabs are escapes too."""
    return _ANY.sub(_escape, text)


def is_plain_line(text: str) -> bool:
    """Whether a text is one line with nothing that would be obeyed."""
    return _ANY.search(text) is None


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
