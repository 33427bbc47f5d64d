"""Are the contradiction model's verdicts on generated pictures right, and do they tell compliance?

A picture of each held-out caption is generated and captioned, and caption and prompt are compared
(`ufc.captioning.contradictions`). What the verdict should have been is asked of probes on the
picture's deep features: an attribute is contradicted where the likeliest class is not what was
asked for. Probes err too, so their errors on real pictures stand beside.

1 - P(contradiction) is then a compliance metric that has never seen the model's own score: both are
asked to tell own from exchanged captions, of generated and of real pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from estimators.contradiction.meaning import read
from estimators.contradiction.model import ContradictionModel
from estimators.contradiction.trees import parse
from estimators.contradiction.verdicts import Verdicts, contradictions
from estimators.metrics.extractors.measuring import Measuring
from estimators.metrics.probes.attributes import score
from estimators.metrics.probes.reconstruction import judge_of
from estimators.metrics.scores.auc import auc_interval
from estimators.metrics.sets.picture_set import Listed, PictureSet
from ufc.captioning.contradictions import captions_for
from ufc.captioning.tell import caption_plan
from ufc.evaluation.generated_sets import Plan, generate_kept, pictures_of
from ufc.evaluation.language.phrasings import CAPTIONS, what_is_seen
from ufc.evaluation.scores import exchanged, held_out, score_codes
from ufc.pipeline import UFCPipeline
from ufc_base.data.names import DataError

COMPARED = ("type", "colour", "gender")

Say = Callable[[str], None]
Report = dict[str, Any]


def verdicts_report(
    pipeline: UFCPipeline,
    real: PictureSet,
    training: PictureSet,
    measuring: Measuring,
    model: ContradictionModel,
    say: Say,
    *,
    fit: str = "pad",
    seed: int = 0,
    folder: Path | None = None,
) -> Report:
    """Figures of the verdicts for captions of each language that the data and the model have.

    Args:
        pipeline: generates and captions, with its default settings.
        real: held-out pictures, whose captions are asked for.
        training: what the probes are fitted on.
        measuring: of the probes' features; in no loss of the model's.
        model: compares prompt and caption.
        say: told how far it is.
        fit: how pictures get the model's shape.
        seed: of the first picture; picture i uses seed + i.
        folder: where generated pictures are kept.

    Raises:
        RequestError: the model writes no captions.
        DataError: there are no captions to ask for.
    """
    caption_plan(pipeline, "en")  # before anything is generated
    records = [real.samples.record(index) for index in range(len(real.samples))]
    judge = judge_of(measuring, training, say)
    probes = score(
        judge, measuring.extractor, measuring.features(real.samples, real.content), records
    )
    shown, languages = held_out(pipeline, real.pictures(), [], fit), {}
    for lang, column in CAPTIONS.items():
        rows = [row for row, record in enumerate(records) if record.get(column)]
        if len(rows) < 2 or (lang != "en" and f"captioning-{lang}" not in pipeline.tasks.plans()):
            continue
        prompts = [str(records[row][column]) for row in rows]
        say(f"{lang}: {len(prompts)} pictures are generated and captioned …")
        made = generate_kept(pipeline, prompts, Plan.of(seed=seed), folder)
        pictures = pictures_of(pipeline, made.codes_NT)
        seen = what_is_seen(judge, measuring, measuring.features(Listed(pictures), None))
        captions = captions_for(pipeline, prompts, pictures)
        found = contradictions(prompts, captions, model)
        others = exchanged(prompts, seed)
        own = [shown.fitted[row] for row in rows]
        languages[lang] = {
            "captions": len(prompts),
            "attributes": {
                name: against_probe(name, prompts, found, seen, [records[row] for row in rows])
                for name in COMPARED
                if name in judge.probes
            },
            "generated": compliance_figures(
                pipeline, model, prompts, others, captions, made.codes_NT
            ),
            "real": compliance_figures(
                pipeline, model, prompts, others, captions_for(pipeline, prompts, own),
                shown.codes_NT[rows],
            ),
        }  # fmt: skip
    if not languages:
        raise DataError("the held-out pictures have no captions (text or text_zh) to ask for")
    return {
        "judge": measuring.recipe,
        "probes_right_on_real": probes.accuracy,
        "seed": seed,
        "languages": languages,
    }


def against_probe(
    attribute: str,
    prompts: Sequence[str],
    verdicts: Sequence[Verdicts],
    seen: Sequence[Mapping[str, str]],
    records: Sequence[Mapping[str, Any]],
) -> Report:
    """The verdict "contradiction" of an attribute against what a probe sees in the pictures.

    Counted are prompts that name the attribute; what they ask for is in their records. Precision is
    None where nothing is contradicted, recall where the probe sees all as asked. `constant` is the
    agreement of the better of two constant answers.
    """
    rows = [
        row
        for row, (prompt, record) in enumerate(zip(prompts, records, strict=True))
        if record.get(attribute) and asks_for(prompt, attribute)
    ]
    if not rows:
        return {"count": 0}
    told = np.array([verdicts[row].attributes[attribute].label == "contradiction" for row in rows])
    differs = np.array([seen[row].get(attribute) != str(records[row][attribute]) for row in rows])
    return {
        "count": len(rows),
        "agreement": float((told == differs).mean()),
        "constant": float(max(differs.mean(), 1 - differs.mean())),
        "precision": float(differs[told].mean()) if told.any() else None,
        "recall": float(told[differs].mean()) if differs.any() else None,
        "contradicted": float(told.mean()),
        "differs": float(differs.mean()),
    }


def asks_for(prompt: str, attribute: str) -> bool:
    """Whether a prompt names an attribute, as far as the contradiction model's words go."""
    return any(item.values(attribute) for item in read(parse(prompt)))


def compliance_figures(
    pipeline: UFCPipeline,
    model: ContradictionModel,
    prompts: Sequence[str],
    others: Sequence[str],
    captions: Sequence[str],
    codes_NT: Tensor,
) -> Report:
    """How well 1 - P(contradiction), and the learned estimator, tell own from other prompts.

    Args:
        prompts: the pictures' own; `others` are those of other pictures.
        captions: what the pictures are told to show.
        codes_NT: the pictures for the learned estimator.
    """
    scored = {
        "one_minus_contradiction": [
            one_minus_contradiction(contradictions(asked, captions, model))
            for asked in (prompts, others)
        ],
        "compliance": [score_codes(pipeline, codes_NT, asked)[0] for asked in (prompts, others)],
    }
    return {name: asdict(auc_interval(own, wrong)) for name, (own, wrong) in scored.items()}


def one_minus_contradiction(verdicts: Sequence[Verdicts]) -> list[float]:
    """A compliance of each pair, 0..1, from the overall verdict."""
    return [1 - one.overall.probabilities["contradiction"] for one in verdicts]


def verdicts_table(found: Report) -> str:
    """The report as text: a line for each attribute, then for each set of pictures."""
    lines = [f"probes: {found['judge']}"]
    for lang, of in found["languages"].items():
        lines += [
            "",
            f"{of['captions']} captions ({lang})",
            f"{'attribute':12}{'asked':>8}{'agreement':>11}{'constant':>10}{'precision':>11}"
            f"{'recall':>8}{'probe right on real':>21}",
        ]
        for name, row in of["attributes"].items():
            right = found["probes_right_on_real"][name]
            cells = [row.get(key) for key in ("agreement", "constant", "precision", "recall")]
            told = "".join(
                f"{'–' if value is None else f'{value:.3f}':>{width}}"
                for value, width in zip(cells, (11, 10, 11, 8), strict=True)
            )
            lines.append(f"{name:12}{row['count']:8}{told}{right:21.3f}")
        for name in ("generated", "real"):
            for metric, area in of[name].items():
                lines.append(
                    f"AUC on {name} pictures, {metric.replace('_', ' ')}: {area['value']:.3f} "
                    f"[{area['low']:.3f}, {area['high']:.3f}]"
                )
    return "\n".join(lines)
