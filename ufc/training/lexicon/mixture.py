"""Paraphrases among the captions of a run: which samples of a step get one, and in which words."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ufc.training.lexicon.paraphrase import paraphrase
from ufc.training.lexicon.words import Lexicon, load_lexicon

VOCABULARY = 3  # paraphrases of each record that a vocabulary is learnt from, beside its captions

# Help texts of the trainers' settings.
PARAPHRASES = "Share of the captions that are said in other words, made from a record's fields."
LEXICON = "File with words of your own for paraphrases, over the packaged ones; see docs/words.md."

Phrase = Callable[[Mapping[str, Any]], str]


class Mixture:
    """A share of the captions of a run, drawn for each place of each step by itself.

    It spends no chance of anything else: a place that keeps its captions is as it is without it.
    """

    def __init__(self, share: float, seed: int, lexicon: Lexicon | None = None) -> None:
        self.lexicon = lexicon or load_lexicon()
        self.share = share
        self.seed = seed

    def phrase(self, step: int, place: int) -> Phrase | None:
        """What puts a record in other words, in this place of a step; None: it keeps its own.

        Empty for a record that the lexicon has no words for.
        """
        rng = random.Random(f"{self.seed}/{step}/{place}/words")
        if rng.random() >= self.share:
            return None
        seed = rng.getrandbits(62)
        return lambda record: paraphrase(record, random.Random(seed), self.lexicon)

    def vocabulary(self, records: Iterable[Mapping[str, Any]]) -> list[str]:
        """Paraphrases of a set, for a vocabulary to know their words."""
        texts = [
            paraphrase(record, random.Random(f"{self.seed}/{index}/{n}/vocabulary"), self.lexicon)
            for index, record in enumerate(records)
            for n in range(VOCABULARY)
        ]
        return [text for text in texts if text]

    def told(self, records: Iterable[Mapping[str, Any]]) -> list[str]:
        """What is to be said of records that keep their captions; nothing where none does."""
        found = [self.lexicon.knows(record) for record in records]
        missing = len(found) - sum(found)
        if not missing:
            return []
        return [
            f"paraphrases: {missing} of {len(found)} samples have no `type` that the lexicon knows "
            "and keep their captions; --lexicon FILE adds words, see docs/words.md"
        ]


def mixture(share: float, seed: int, lexicon: str | None) -> Mixture | None:
    """The mixture of a run's settings; None where nothing is paraphrased.

    Raises:
        DataError: the lexicon cannot be used.
    """
    return Mixture(share, seed, load_lexicon(lexicon)) if share else None


def refuse_share(share: float, lexicon: str | None) -> None:
    """Raise `ValueError` where the settings of paraphrases do not fit each other."""
    if share > 1:
        raise ValueError(f"paraphrase_share: got {share}, wanted 0 to 1")
    if lexicon and not share:
        raise ValueError("lexicon: it goes with paraphrase_share, which is 0")
