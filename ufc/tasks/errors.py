"""The one error of instructions: what is wrong, where in the line, and what to write instead."""

from __future__ import annotations

import unicodedata

from ufc.io.validation import RequestError

SHOWN = 72  # characters of a long instruction that are shown around the place


class InstructionError(RequestError):
    """An instruction that cannot be read or served.

    The message is one line; `excerpt` shows the instruction and carets under the place, and a
    traceback shows it too.

    Attributes:
        problem: what is wrong.
        remedy: what to write instead.
        text: the instruction.
        position: of the first character that is meant, from 0; `len(text)` is the end.
        length: characters that are meant, 1 or more.
        excerpt: two lines to print with all their spaces.
    """

    def __init__(
        self, problem: str, remedy: str, text: str, position: int, length: int = 1, where: str = ""
    ) -> None:
        self.problem = problem
        self.remedy = remedy
        self.text = text
        self.position = position
        self.length = max(1, length)
        self.excerpt = excerpt(text, position, self.length)
        place = f"{where}: instruction" if where else "instruction"
        super().__init__(f"{place}, character {position + 1}: {problem}; {remedy}")
        self.add_note("\n".join(self.excerpt))

    def within(self, where: str) -> InstructionError:
        """The same error with the file and line that the instruction stands in."""
        return InstructionError(
            self.problem, self.remedy, self.text, self.position, self.length, where
        )


def excerpt(text: str, position: int, length: int) -> tuple[str, str]:
    """The part of an instruction around a place, and a line with carets under that place."""
    first = max(0, min(position - SHOWN // 2, len(text) - SHOWN))
    part = text[first : first + SHOWN]
    before = ("…" if first else "") + "".join(map(visible, part[: position - first]))
    marked = "".join(map(visible, part[position - first : position - first + length]))
    after = "".join(map(visible, part[position - first + length :]))
    after += "…" if first + SHOWN < len(text) else ""
    return before + marked + after, " " * columns(before) + "^" * max(1, columns(marked))


def visible(character: str) -> str:
    """A character that a line can show: white space as a space, what has no form as a mark."""
    if character.isspace():
        return " "
    return character if character.isprintable() else "\ufffd"


def columns(text: str) -> int:
    """Columns that a text takes on a terminal: two for a Chinese character, none for an accent."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(bool(unicodedata.combining(character)) for character in text)
