"""Chance in the second stage's training: what each sample of a step shows of its controls.

It is drawn for each place of a batch by itself, so that processes can share a batch.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ufc.training.lexicon.mixture import Mixture
from ufc.training.masks import training_masks
from ufc_base.data.datasets import Samples


@dataclass(frozen=True)
class ControlOdds:
    """How the controls of a sample are drawn.

    Attributes:
        references: odds of 0, 1, 2 ... reference images; drawn once a step, so that batches have
            one length and little padding.
        text: chance that the text is there, without and with references.
        reference_drop: chance that a reference is left out all the same.
        neighbour: chance that a reference is another picture with the same attributes instead of
            a crop of the sample itself.
        word_drop: chance, beside references, that words are dropped from the text (up to half of
            them), so that references have to supply what the words do not say.
        masked_text: chance, beside references, that words are masked and have to be told.
        text_only: the same without references: words are told from the other words alone.
    """

    references: tuple[float, ...] = (0.8, 0.17, 0.03)
    text: tuple[float, float] = (0.88, 0.7)
    reference_drop: float = 0.1
    neighbour: float = 0.35
    word_drop: float = 0.5
    masked_text: float = 0.15
    text_only: float = 0.0


def captions(record: dict[str, Any]) -> list[str]:
    """All texts of a sample, the canonical ones counted twice: they are what users type.

    What is no text, or an empty one, is passed over; `captions` may be one text or a list.
    """
    canonical = [record.get(key) for key in ("text", "text_zh")]
    others = record.get("captions") or []
    if not isinstance(others, list):
        others = [others]
    return [text for text in (*canonical, *others, *canonical) if text and isinstance(text, str)]


def training_texts(samples: Samples, mixture: Mixture | None = None) -> list[str]:
    """Every text of a set, and paraphrases if it has some, to learn a vocabulary from."""
    return texts_of_records((samples.record(i) for i in range(len(samples))), mixture)


def texts_of_records(
    records: Iterable[dict[str, Any]], mixture: Mixture | None = None
) -> list[str]:
    """Every text of records, and paraphrases if there are some."""
    records = list(records)
    texts = [text for record in records for text in captions(record)]
    return texts + (mixture.vocabulary(records) if mixture else [])


def attribute_neighbours(records: Sequence[dict[str, Any]], keys: Sequence[str]) -> list[list[int]]:
    """For each sample, those of its own group: equal in all `keys` (empty without attributes)."""
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, record in enumerate(records):
        if all(record.get(key) for key in keys):
            groups[tuple(str(record[key]) for key in keys)].append(index)
    by_sample: list[list[int]] = [[] for _ in records]
    for members in groups.values():
        for index in members:
            by_sample[index] = members
    return by_sample


class Rivals:
    """Texts that are wrong for a sample in one thing: another of its type and gender in another
    colour, and so on with each of the keys. What tells them from its own is that one word."""

    def __init__(
        self,
        records: Sequence[dict[str, Any]],
        keys: Sequence[str],
        ids: Sequence[list[list[int]]],
    ) -> None:
        self.ids = ids
        self.values = [tuple(str(record.get(key, "")) for key in keys) for record in records]
        self.alike: list[dict[tuple[str, ...], list[int]]] = [defaultdict(list) for _ in keys]
        for index, values in enumerate(self.values):
            for key, groups in enumerate(self.alike):
                groups[values[:key] + values[key + 1 :]].append(index)

    def sample(
        self,
        index: int,
        form: int,
        rng: random.Random,
        put: Callable[[int], list[int]] | None = None,
    ) -> list[int]:
        """Ids of such a text, put as the sample's own text number `form`; empty if none is found.

        With `put` it is what that makes of the other sample, as it made the sample's own text:
        paraphrases have paraphrases for rivals, or their being one would give them away. A form
        may leave out the one thing: then it is no rival, and another is tried.
        """

        def texts(sample: int) -> list[list[int]]:
            return [put(sample)] if put else self.ids[sample]

        own, values = texts(index), self.values[index]
        for _ in range(4 if own and self.alike else 0):
            key = rng.randrange(len(self.alike))
            other = rng.choice(self.alike[key][values[:key] + values[key + 1 :]])
            theirs = texts(other)
            differs = self.values[other][key] != values[key] and len(theirs) == len(own)
            if differs and theirs[form] not in own:
                return theirs[form]
        return []


@dataclass(frozen=True)
class SampledControls:
    """What is drawn for one sample: its text, the words to be told, and its references.

    The text is number `form` of the sample's. `labels` are the true ids of masked words, aligned
    with `ids`, -1 where nothing is asked. With `own` the references are of the sample itself.
    """

    ids: list[int]
    labels: list[int]
    references: int
    own: bool
    form: int


def sample_controls(
    texts: Sequence[list[int]],
    references: int,
    odds: ControlOdds,
    mask: int,
    rng: random.Random,
) -> SampledControls:
    """Controls of one sample with these texts (ids) and at most so many references.

    `mask` is the id of a masked word.
    """
    kept = sum(rng.random() >= odds.reference_drop for _ in range(references))
    masking = odds.masked_text if kept else odds.text_only
    masked = masking > 0 and rng.random() < masking
    present = masked or rng.random() < odds.text[1 if kept else 0]
    form = rng.randrange(max(1, len(texts)))
    ids = list(texts[form]) if present and texts else []
    labels = [-1] * len(ids)
    if masked:
        share = rng.uniform(0.15, 1.0)
        for place in range(len(ids)):
            if rng.random() < share:
                labels[place], ids[place] = ids[place], mask
    elif kept and rng.random() < odds.word_drop:
        share = rng.uniform(0, 0.5)
        ids = [token for token in ids if rng.random() >= share]
        labels = [-1] * len(ids)
    return SampledControls(ids, labels, kept, own=masked, form=form)


def step_references(odds: ControlOdds, seed: int, step: int) -> int:
    """References a sample has at most in a step."""
    rng = random.Random(f"{seed}/{step}")
    return rng.choices(range(len(odds.references)), odds.references)[0]


def sample_rng(seed: int, step: int, place: int) -> random.Random:
    """Chance for one place of one step's batch, whichever process it falls to."""
    return random.Random(f"{seed}/{step}/{place}")


def sample_mask(grid: tuple[int, int], rng: random.Random) -> Tensor:
    """A training mask (T,) bool."""
    return training_masks(1, grid, torch.Generator().manual_seed(rng.getrandbits(62)))[0]
