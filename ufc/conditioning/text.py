"""Text to ids and back: one spelling, and byte-level BPE, in which any script and emoji has one.

It is the one place where words become ids, those of prompts as those of captions, and so the one
where they are brought to one spelling, whichever way they were typed, pasted or stored. A
vocabulary knows the characters of its captions, ASCII and simplified Chinese: a line break, a
curly apostrophe or a traditional character is foreign to it, though a reader sees the same words.
What a user wrote stays as he wrote it everywhere else. Case is the vocabulary's own matter: one
that ignores it says so in its `tokenizer.json`.

The mark for a masked word is not part of the tokenizer's vocabulary: nothing a user types can
turn into it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import cache
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from ufc_base.files import whole_file

if TYPE_CHECKING:  # requests are checked by their spelling, and do not wait for the library
    from tokenizers import Tokenizer

MAX_TOKENS = 48
END = "\u0100"  # how byte-level BPE writes the byte 0

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


class TextTokenizer:
    """Byte-level BPE over lower-cased, NFKC-normalised text."""

    def __init__(self, tokenizer: Tokenizer, max_tokens: int = MAX_TOKENS) -> None:
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens

    @property
    def size(self) -> int:
        return self.tokenizer.get_vocab_size()

    @property
    def end(self) -> int:
        """The id that ends a text that is told: the byte 0, which no text holds."""
        found = self.tokenizer.token_to_id(END)
        assert found is not None  # a byte-level vocabulary has all bytes
        return found

    def encode(self, text: str) -> list[int]:
        """Ids of a text, at most `max_tokens` of them."""
        return self.encode_all(text)[: self.max_tokens]

    def encode_all(self, text: str) -> list[int]:
        """Ids of a text, however long. Text that holds nothing to be seen has none."""
        text = normalise(text)
        return list(self.tokenizer.encode(text).ids) if text else []

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids."""
        return str(self.tokenizer.decode(list(ids))).strip()

    def spellings(self, older: TextTokenizer) -> list[list[int]]:
        """How an older vocabulary spells each id of this one, (size) lists of at least one id."""
        words = sorted(self.tokenizer.get_vocab().items(), key=lambda entry: entry[1])
        return [[piece.id for piece in older.tokenizer.model.tokenize(word)] for word, _ in words]

    def save(self, path: str | PathLike[str]) -> None:
        with whole_file(Path(path)) as partial:
            self.tokenizer.save(str(partial))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> TextTokenizer:
        """Read `tokenizer.json`. Raises `CheckpointError` if it is missing or damaged."""
        from tokenizers import Tokenizer

        from ufc_base.checkpoint import CheckpointError

        if not Path(path).is_file():
            raise CheckpointError(f"there is no text tokenizer at {path}")
        try:
            return cls(Tokenizer.from_file(str(path)))
        except Exception as error:  # the library raises bare Exception
            raise CheckpointError(f"{path} is not a tokenizer.json ({error!s:.200})") from error

    @classmethod
    def train(cls, texts: Iterable[str], size: int) -> TextTokenizer:
        """Learn a vocabulary of at most `size` ids (at least the 256 bytes) from texts.

        Chinese has no spaces, and captions repeat themselves: merged freely, whole phrases become
        one id and the same words in other company are cut into unknown ones. Each of its
        characters therefore stands alone.
        """
        from tokenizers import (
            Regex,
            Tokenizer,
            decoders,
            models,
            normalizers,
            pre_tokenizers,
            trainers,
        )

        tokenizer = Tokenizer(models.BPE())
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.NFKC(), normalizers.Lowercase(), normalizers.Prepend(" ")]
        )
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(r"\p{Han}"), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=size,
            min_frequency=2,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(map(normalise, texts), trainer)
        return cls(tokenizer)


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
