"""How well a model describes held-out pictures: captions, answers, and where words are.

A caption names an attribute by the lexicon's words for it (the longest that it holds), and is right
where that is what the record says. Probes on deep features of the pictures themselves, at their own
size, are the mark. Words are looked for in collages of held-out photographs, pixel by pixel.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from PIL import Image

from estimators.metrics.extractors.measuring import Measuring
from estimators.metrics.probes.attributes import score
from estimators.metrics.probes.reconstruction import judge_of
from estimators.metrics.sets.picture_set import PictureSet
from ufc.captioning.tell import Located, caption_plan, carry_out
from ufc.io.validation import RequestError
from ufc.pipeline import UFCPipeline
from ufc.tasks.plan import Plan
from ufc.training.lexicon.words import Lexicon, load_lexicon
from ufc.training.objectives.grounded_blocks import block_iou
from ufc.training.tasks.collages import foreground
from ufc_base.data.datasets import fitted
from ufc_base.images import to_tensor

Say = Callable[[str], None]
Report = dict[str, Any]
KINDS = {"type": "types", "colour": "colours", "gender": "owners"}
COLLAGES = 200


def words_report(
    pipeline: UFCPipeline,
    held_out: PictureSet,
    training: PictureSet,
    measuring: Measuring,
    say: Say,
    fit: str = "pad",
    seed: int = 0,
) -> Report:
    """Figures of all that the model has learnt to tell; `fit` is how pictures get its shape.

    Raises:
        RequestError: it has learnt nothing of the kind.
    """
    if not pipeline.tasks.instructions:
        raise RequestError(f"the model {pipeline.name} makes images and tells no words of them")
    size = pipeline.tokenizer.config.size
    pictures = [fitted(one, size, fit) for one in held_out.pictures()]
    records = [held_out.samples.record(index) for index in range(len(pictures))]
    judge = judge_of(measuring, training, say)
    features = measuring.features(held_out.samples, held_out.content)
    probes = score(judge, measuring.extractor, features, records).accuracy
    say(f"describing {len(pictures)} pictures …")
    plans, lexicon = pipeline.tasks.plans(), load_lexicon()
    found: Report = {"pictures": len(pictures), "judge": measuring.recipe, "probes": probes}
    captions = {
        lang: named_right(tell_all(pipeline, caption_plan(pipeline, lang), pictures),
                          records, lexicon, lang)
        for lang, name in (("en", "captioning"), ("zh", "captioning-zh"))
        if name in plans
    }  # fmt: skip
    questions = {
        name: answered_right(pipeline, plan, pictures, records)
        for name, plan in plans.items()
        if plan.task == "question"
    }
    grounding = {
        name: grounding_iou(pipeline, plan, pictures, records, seed)
        for name, plan in plans.items()
        if plan.task == "grounding"
    }
    return found | {"captions": captions, "questions": questions, "grounding": grounding}


def tell_all(pipeline: UFCPipeline, plan: Plan, pictures: Sequence[Image.Image]) -> list[str]:
    """Texts told of pictures."""
    told = carry_out(pipeline, plan, {}, pictures)
    return [one.text for one in told if not isinstance(one, Located)]


def named(text: str, kind: str, lexicon: Lexicon, lang: str) -> str | None:
    """The value whose word a text holds; of several words the longest."""
    best: tuple[int, str] | None = None
    said = text.lower()
    for value, by_language in lexicon.words[kind].items():
        for word in by_language.get(lang, ()):
            pattern = re.escape(word.lower())
            pattern = pattern if lang == "zh" else rf"(?<!\w){pattern}(?!\w)"
            if re.search(pattern, said) and (best is None or len(word) > best[0]):
                best = len(word), value
    return None if best is None else best[1]


def named_right(
    texts: Sequence[str], records: Sequence[dict[str, Any]], lexicon: Lexicon, lang: str
) -> dict[str, float]:
    """Share of the texts that name each attribute as the record has it."""
    right: dict[str, float] = {}
    for field, kind in KINDS.items():
        known = [
            (text, str(record[field]))
            for text, record in zip(texts, records, strict=True)
            if lexicon.of(kind, record.get(field), lang).common
        ]
        if known:
            hits = [named(text, kind, lexicon, lang) == value for text, value in known]
            right[field] = sum(hits) / len(hits)
    return right


def answered_right(
    pipeline: UFCPipeline,
    plan: Plan,
    pictures: Sequence[Image.Image],
    records: Sequence[dict[str, Any]],
) -> float:
    """Share of the pictures whose record has the answer."""
    field = plan.target.value("closed_set")
    rows = [row for row, record in enumerate(records) if record.get(str(field))]
    told = tell_all(pipeline, plan, [pictures[row] for row in rows])
    hits = [one == records[row][str(field)] for one, row in zip(told, rows, strict=True)]
    return float(np.mean(hits)) if hits else float("nan")


def grounding_iou(
    pipeline: UFCPipeline,
    plan: Plan,
    pictures: Sequence[Image.Image],
    records: Sequence[dict[str, Any]],
    seed: int,
) -> float:
    """Mean intersection over union of the blocks found for types in collages of photographs."""
    rng = random.Random(seed)
    height, width = pipeline.tokenizer.config.size
    said, truth = [], []
    slot = next(one.name for one in plan.instruction.given.values() if one.kind == "TEXT")
    for _ in range(COLLAGES):
        members = rng.sample(range(len(pictures)), min(len(pictures), rng.randint(2, 4)))
        quarters = rng.sample(range(4), len(members))
        kind = str(records[members[0]].get("type", ""))
        if not kind:
            continue
        sheet = Image.new("RGB", (width, height), "white")
        blocks = torch.zeros(pipeline.grid_size, dtype=torch.bool)
        rows, columns = (side // 2 for side in pipeline.grid_size)
        for member, quarter in zip(members, quarters, strict=True):
            small = pictures[member].resize((width // 2, height // 2), Image.Resampling.BICUBIC)
            down, right = divmod(quarter, 2)
            sheet.paste(small, (right * width // 2, down * height // 2))
            if records[member].get("type") == kind:
                own = foreground(to_tensor([small]), pipeline.tokenizer.config.downsampling)[0]
                blocks[down * rows :, right * columns :][:rows, :columns] = own
        located = carry_out(pipeline, plan, {slot: kind.lower()}, [sheet])[0]
        said.append((cast(Located, located).blocks > 0.5).flatten())
        truth.append(blocks.flatten())
    return float(block_iou(torch.stack(said), torch.stack(truth)))


def words_table(found: Report) -> str:
    """The report as text: each figure beside the probes' on the pictures themselves."""
    probes = found["probes"]
    lines = [f"{found['pictures']} pictures; probes: {found['judge']}"]
    lines.append(f"{'':24}" + "".join(f"{name:>10}" for name in probes))
    lines.append(f"{'probes on pictures':24}" + "".join(f"{p:10.3f}" for p in probes.values()))
    for lang, right in found["captions"].items():
        cells = "".join(f"{right[name]:10.3f}" if name in right else " " * 10 for name in probes)
        lines.append(f"{'captions in ' + lang:24}{cells}")
    lines += [f"{name:24}{value:10.3f}" for name, value in found["questions"].items()]
    lines += [f"{name + ' (IoU)':24}{value:10.3f}" for name, value in found["grounding"].items()]
    return "\n".join(lines)
