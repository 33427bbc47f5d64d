"""Text to ids and back: byte-level BPE, so that any script and any emoji has a spelling.

It is the one place where words become ids, those of prompts as those of captions, and so the one
where they are brought to one spelling (`normalise.py`). What a user wrote stays as he wrote it
everywhere else.

The mark for a masked word is not part of the tokenizer's vocabulary: nothing a user types can
turn into it.
"""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from ufc.conditioning.normalise import normalise
from ufc_base.checkpoint import CheckpointError
from ufc_base.files import whole_file

MAX_TOKENS = 48


class TextTokenizer:
    """Byte-level BPE over lower-cased, NFKC-normalised text."""

    def __init__(self, tokenizer: Tokenizer, max_tokens: int = MAX_TOKENS) -> None:
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens

    @property
    def size(self) -> int:
        return self.tokenizer.get_vocab_size()

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
        if not Path(path).is_file():
            raise CheckpointError(f"there is no text tokenizer at {path}")
        try:
            return cls(Tokenizer.from_file(str(path)))
        except Exception as error:  # the library raises bare Exception
            raise CheckpointError(f"{path} is not a tokenizer.json ({error})") from error

    @classmethod
    def train(cls, texts: Iterable[str], size: int) -> TextTokenizer:
        """Learn a vocabulary of at most `size` ids (at least the 256 bytes) from texts.

        Chinese has no spaces, and captions repeat themselves: merged freely, whole phrases become
        one id and the same words in other company are cut into unknown ones. Each of its
        characters therefore stands alone.
        """
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
