"""One spelling of a text, whichever way it was typed, pasted or stored.

A vocabulary knows the characters of its captions: ASCII and simplified Chinese. A line break, a
curly apostrophe or a traditional character is foreign to it, though a reader sees the same words.
Prompts, negative prompts and captions all come through here on their way to ids (`text.py`).

Case is no matter of this file: a vocabulary that ignores it says so in its own `tokenizer.json`.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from pathlib import Path

# What the keyboard has, and what word processors, phones and CJK keyboards write instead of it.
_VARIANTS = {
    "'": "‘’‚‛′‵´ʹʻʼˈ＇❛❜",
    '"': "“”„‟″‶«»‹›「」『』《》〈〉〝〞〟❝❞",
    "-": "‐‑‒–—―−⁃─﹘",
    ",": "、",
    ".": "。",
    "...": "…⋯",
    "~": "〜∼",
    "/": "⁄∕",
    "x": "×",
    "(": "〔【〖",
    ")": "〕】〗",
    " ": "\u2800",  # the empty Braille pattern; white space proper is split at
    "": "™℠®",  # compatibility forms would glue letters to the word before
}

# Unicode's Default_Ignorable_Code_Point, and what marks a place without being seen.
_INVISIBLE = (
    (0x00AD, 0x00AD),  # soft hyphen
    (0x034F, 0x034F),
    (0x061C, 0x061C),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),  # zero width, marks of direction
    (0x202A, 0x202E),
    (0x2060, 0x206F),
    (0x3164, 0x3164),
    (0xD800, 0xDFFF),  # halves of surrogate pairs: no characters
    (0xFE00, 0xFE0F),  # variation selectors
    (0xFEFF, 0xFEFF),  # byte order mark
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFFC),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
)


def normalise(text: str) -> str:
    """The text in the characters that captions are written in.

    Every run of white space becomes one space, and none is left at the ends. What is invisible
    goes. Typographic variants become what the keyboard has, full-width and other compatibility
    forms ASCII (NFKC), traditional Chinese characters simplified ones.
    """
    table = _table()
    # Some variants have compatibility forms of their own (´ is space and accent): first the table.
    text = unicodedata.normalize("NFKC", text.translate(table)).translate(table)
    return " ".join(unicodedata.normalize("NFC", text).split())


@cache
def _table() -> dict[int, str]:
    """Replacements by code point."""
    table = {ord(odd): usual for usual, odds in _VARIANTS.items() for odd in odds}
    table |= {code: "" for first, last in _INVISIBLE for code in range(first, last + 1)}
    controls = (code for code in (*range(0x20), *range(0x7F, 0xA0)) if not chr(code).isspace())
    return table | dict.fromkeys(controls, "") | _simplified()


def _simplified() -> dict[int, str]:
    """Simplified characters by traditional ones; the file says where they are from."""
    text = Path(__file__).with_name("simplified_characters.txt").read_text(encoding="utf-8")
    traditional, simplified = (line for line in text.splitlines() if not line.startswith("#"))
    return {ord(a): b for a, b in zip(traditional, simplified, strict=True)}
