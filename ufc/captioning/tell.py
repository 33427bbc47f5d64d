"""Carry out tasks whose target is text or blocks: captions, words filled in, answers, grounding."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from ufc.captioning.answers import answer_probabilities
from ufc.captioning.grounding import block_probabilities
from ufc.captioning.instructions import slots_of, spoken
from ufc.captioning.refine import ToldIds, tell_words
from ufc.captioning.text_target import TextTarget, without_end
from ufc.conditioning.control_item import ControlItem
from ufc.conditioning.text import TextTokenizer
from ufc.io.validation import RequestError, listed, shown
from ufc.tasks.attributes import BOX
from ufc.tasks.plan import Plan

if TYPE_CHECKING:
    from ufc.pipeline import UFCPipeline

BLANK = "___"  # in a text: words to be filled in
AT_ONCE = 32  # pictures of a forward pass
MOST_WORDS = 3  # ids of the vocabulary that a blank may become


@dataclass(frozen=True)
class ToldText:
    """A text, and how sure each of its words is, 0..1."""

    text: str
    words: tuple[tuple[str, float], ...]

    def as_text(self) -> str:
        return self.text

    @property
    def confidence(self) -> list[list[Any]]:
        """Each word with how sure it is, rounded, for JSON."""
        return [[word, round(sure, 4)] for word, sure in self.words]

    def to_json(self) -> dict[str, Any]:
        return {"text": self.text, "confidence": self.confidence}


@dataclass(frozen=True)
class Answer:
    """The likeliest of a closed set, and how likely each of its members is, likeliest first."""

    text: str
    probabilities: tuple[tuple[str, float], ...]

    @property
    def confidence(self) -> float:
        return self.probabilities[0][1]

    def as_text(self) -> str:
        return f"{self.text} ({self.confidence:.0%})"

    def to_json(self) -> dict[str, Any]:
        return {"text": self.text, "confidence": round(self.confidence, 4)}


@dataclass(frozen=True)
class Located:
    """How likely each block of a picture is what the words are about, (rows, columns) 0..1."""

    blocks: Tensor

    def as_text(self) -> str:
        """The grid, a mark for each block that likely is."""
        return "\n".join(
            "".join("#" if p > 0.5 else "." for p in row) for row in self.blocks.tolist()
        )

    @property
    def marked(self) -> list[int]:
        """The numbers of the blocks that likely are, counted row by row."""
        return [int(at) for at in (self.blocks.flatten() > 0.5).nonzero()]

    def to_json(self) -> dict[str, Any]:
        rows, columns = self.blocks.shape
        probabilities = [[round(float(p), 4) for p in row] for row in self.blocks]
        return {
            "rows": rows,
            "columns": columns,
            "blocks": self.marked,
            "probability": probabilities,
        }


Told = ToldText | Answer | Located


@torch.no_grad()
def carry_out(
    pipeline: UFCPipeline,
    plan: Plan,
    values: Mapping[str, str],
    pictures: Sequence[Image.Image | None],
) -> list[Told]:
    """What a model tells of each picture (None where the instruction has none).

    `values` are the words of the instruction's TEXT slots. The instruction's own words count: a
    model knows those that it was trained with.

    Raises:
        RequestError: the model has not learnt the task, or lacks the closed set.
    """
    refuse_unlearnt(pipeline, plan)
    before = pipeline.text.encode(spoken(plan, values))
    told: list[Told] = []
    for start in range(0, len(pictures), AT_ONCE):
        codes = encode(pipeline, pictures[start : start + AT_ONCE])
        with pipeline.at_work(pipeline.transformer):
            told += tell_of(pipeline, plan, values, before, codes)
    return told


def encode(pipeline: UFCPipeline, pictures: Sequence[Image.Image | None]) -> list[Tensor | None]:
    """Codes (rows, columns) of the pictures that there are."""
    there = [one for one in pictures if one is not None]
    codes = iter(pipeline.encode(there) if there else ())
    return [None if one is None else next(codes) for one in pictures]


def tell_of(
    pipeline: UFCPipeline,
    plan: Plan,
    values: Mapping[str, str],
    before: Sequence[int],
    codes: Sequence[Tensor | None],
) -> Sequence[Told]:
    """What is told of pictures' codes behind the instruction's words (ids)."""
    model, text = pipeline.transformer, pipeline.text
    if plan.target.kind == BOX:
        items = [ControlItem(before, [grid]) for grid in codes if grid is not None]
        return [Located(blocks.cpu()) for blocks in block_probabilities(model, items)]
    field = plan.target.value("closed_set")
    if field is not None:
        return answers(pipeline, plan, before, codes, field)
    if plan.target.name in plan.instruction.given:
        return [fill_in(pipeline, values[plan.target.name], before, grid) for grid in codes]
    slots = [text.size] * slots_of(plan)
    told = tell_words(model, [TextTarget(before, slots, grid) for grid in codes])
    return [as_text(one, text) for one in told]


def refuse_unlearnt(pipeline: UFCPipeline, plan: Plan) -> None:
    """Raise `RequestError` where no task of this family, or with this closed set, was learnt."""
    known = pipeline.tasks.plans()
    if plan.task not in {one.task for one in known.values()}:
        raise RequestError(
            f"the model {pipeline.name} does not know the task {plan.task}: it makes images"
            + (f", and knows {listed(known)}" if known else f" and no {plan.target.kind}")
            + "; wanted an instruction whose target is [IMAGE], or --plan"
        )
    field = plan.target.value("closed_set")
    if field is not None and field not in pipeline.tasks.closed_sets:
        raise RequestError(
            f"closed_set={field}: the model {pipeline.name} has no such answers; it has those of "
            f"{listed(pipeline.tasks.closed_sets)}"
        )


def answers(
    pipeline: UFCPipeline,
    plan: Plan,
    before: Sequence[int],
    codes: Sequence[Tensor | None],
    field: str,
) -> list[Answer]:
    """The answer to one question about each picture."""
    text, members = pipeline.text, pipeline.tasks.closed_sets[field]
    slots = [text.size] * slots_of(plan)
    targets = [TextTarget(before, slots, grid) for grid in codes]
    ids = [text.encode(member) for member in members]
    likely_BA = answer_probabilities(pipeline.transformer, targets, ids, text.end)
    found = []
    for likely_A in likely_BA.tolist():
        order = sorted(range(len(members)), key=lambda at: -likely_A[at])
        ranked = tuple((members[at], likely_A[at]) for at in order)
        found.append(Answer(ranked[0][0], ranked))
    return found


def fill_in(
    pipeline: UFCPipeline, sentence: str, before: Sequence[int], picture: Tensor | None
) -> ToldText:
    """The sentence with its blanks filled; each becomes one to three ids, as many as are surest.

    Raises:
        RequestError: there is no blank in it.
    """
    text = pipeline.text
    parts = sentence.split(BLANK)
    if len(parts) == 1:
        raise RequestError(f"got {shown(sentence)}, wanted a text with a blank to fill: {BLANK}")
    known = [text.encode(part) for part in parts]
    targets = []
    for width in range(1, MOST_WORDS + 1):
        slots = list(known[0])
        for part in known[1:]:
            slots += [text.size] * width + part
        targets.append(TextTarget(before, slots, picture))
    told = tell_words(pipeline.transformer, targets)
    return as_text(max(told, key=surety), text)


def surety(told: ToldIds) -> float:
    """How likely the words that were told are together: fewer words win where all are as sure."""
    return math.prod(told.confidence)


def as_text(told: ToldIds, text: TextTokenizer) -> ToldText:
    """Ids up to the end as a text, and its words: a word is as sure as its least sure piece."""
    ids = without_end(told.ids, text.end)
    pieces = [text.decode(ids[: place + 1]) for place in range(len(ids))]
    counted = [(max(0, len(piece.split(" ")) - 1), place) for place, piece in enumerate(pieces)]
    whole = text.decode(ids)
    words = whole.split(" ") if whole else []
    sure = [
        min(told.confidence[place] for _, place in group)
        for _, group in groupby(counted, key=lambda pair: pair[0])
    ]
    return ToldText(whole, tuple(zip(words, sure, strict=False)))


def caption_plan(pipeline: UFCPipeline, lang: str) -> Plan:
    """The model's own instruction for captions in a language: English, or `zh`.

    Raises:
        RequestError: it has learnt none.
    """
    plans = pipeline.tasks.plans()
    name = "captioning" if lang == "en" else f"captioning-{lang}"
    if name not in plans:
        known = [one for one in plans if plans[one].task == "captioning"]
        has = f"it knows {listed(known)}" if known else "it makes images alone"
        raise RequestError(
            f"the model {pipeline.name} writes no captions in {lang!r}: {has}; train one with "
            f"--tasks and a line {name}"
        )
    return plans[name]
