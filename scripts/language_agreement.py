"""Do an English prompt and its Chinese counterpart make the same picture?

    python scripts/language_agreement.py --train-data-dir TRAIN --val-data-dir VAL --limit 200

For each held-out record with captions in both languages a picture of the English one is compared
with three others: of the Chinese one with the same seed, of the English one with another seed, and
of the other records' English ones. Compared are the cosine of deep features (EfficientNet-Lite0's,
which are in no loss) and whether probes, fitted on the training pictures, see the same type and
colour. Where the languages agree, the first row is like the second, or better, as the noise is the
same; the third is chance. Prints a table in Markdown; --output writes the figures as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estimators.metrics.extractors.features import Features
from estimators.metrics.extractors.measuring import Measuring
from estimators.metrics.extractors.networks import load_extractor
from estimators.metrics.pairs.similarity import cosine_to
from estimators.metrics.probes.reconstruction import judge_of
from estimators.metrics.scores.trust import mean_gain
from estimators.metrics.sets.picture_set import Listed, open_set
from ufc.evaluation.generated_sets import Plan, generate_kept, pictures_of
from ufc.evaluation.language.phrasings import what_is_seen
from ufc.io.hub import DEFAULT_MODEL
from ufc.pipeline import UFCPipeline
from ufc_base.data import soundness

SEEN = ("type", "colour")
CHINESE, SEED, OTHER = "Chinese, same seed", "English, another seed", "other captions"

FloatArray = NDArray[np.float64]
Agreed = dict[str, FloatArray]  # a number for each picture, by figure


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    options = read_options(arguments)
    folder = Path(options.cache_dir) if options.cache_dir else soundness.user_cache() / "evaluate"
    pipe = UFCPipeline.from_pretrained(options.model, device=options.device)
    pipe.set_progress_bar_config(disable=True)
    extractor = load_extractor(options.extractor, device=options.device)
    measuring = Measuring(extractor, cache_dir=str(folder))
    samples = open_set(options.val_data_dir).samples
    records = [samples.record(index) for index in range(len(samples))]
    both = [one for one in records if one.get("text") and one.get("text_zh")][: options.limit]
    if len(both) < 2:
        raise ValueError(f"{options.val_data_dir}: wanted 2 records with text and text_zh at least")
    judge = judge_of(measuring, open_set(options.train_data_dir), say)

    def made(column: str, seed: int) -> tuple[Features, list[dict[str, str]]]:
        """Features of a picture of each record's caption, and what is seen in them."""
        say(f"{len(both)} pictures of {column}, seeds from {seed} …")
        prompts = [str(record[column]) for record in both]
        codes_NT = generate_kept(pipe, prompts, Plan.of(seed=seed), folder).codes_NT
        features = measuring.features(Listed(pictures_of(pipe, codes_NT)), None)
        return features[:, extractor.frechet], what_is_seen(judge, measuring, features)

    english = made("text", options.seed)
    rows = {
        CHINESE: agreed(english, made("text_zh", options.seed)),
        SEED: agreed(english, made("text", options.seed + len(both))),
        OTHER: agreed_with_others(*english),
    }
    found = report(rows) | {"model": pipe.name, "judge": measuring.recipe, "seed": options.seed}
    if options.output:
        options.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print("\n".join(table(found)))
    return 0


def agreed(
    one: tuple[Features, list[dict[str, str]]], other: tuple[Features, list[dict[str, str]]]
) -> Agreed:
    """Cosine of picture i of one set and picture i of the other, and whether the same is seen."""
    found: Agreed = {"cosine": cosine_to(one[0], other[0])}
    for name in SEEN:
        pairs = zip(one[1], other[1], strict=True)
        found[name] = np.array([a.get(name) == b.get(name) for a, b in pairs], dtype=float)
    return found


def agreed_with_others(features: Features, seen: list[dict[str, str]]) -> Agreed:
    """The same of each picture with every other one of its set, on average."""
    turns = [
        agreed((features, seen), (np.roll(features, shift, 0), seen[-shift:] + seen[:-shift]))
        for shift in range(1, len(seen))
    ]
    return {name: np.mean([turn[name] for turn in turns], axis=0) for name in turns[0]}


def report(rows: dict[str, Agreed]) -> dict[str, Any]:
    """Means of each row, and what the languages agree above another seed, with 95 % intervals."""
    means = {name: {k: float(v.mean()) for k, v in row.items()} for name, row in rows.items()}
    gain = {k: asdict(mean_gain(rows[CHINESE][k], rows[SEED][k])) for k in rows[SEED]}
    return {"pictures": len(rows[SEED]["cosine"]), "rows": means, "chinese_above_seed": gain}


def table(found: dict[str, Any]) -> Iterator[str]:
    """The figures as Markdown."""
    names = ("cosine", *SEEN)
    yield f"{found['pictures']} English pictures; {found['judge']}"
    yield ""
    yield "| beside | cosine of features | same type | same colour |"
    yield "|---|---|---|---|"
    for row, of in found["rows"].items():
        yield f"| {row} | " + " | ".join(f"{of[name]:.3f}" for name in names) + " |"
    gains = [found["chinese_above_seed"][name] for name in names]
    cells = [f"{one['mean']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}]" for one in gains]
    yield "| Chinese above another seed | " + " | ".join(cells) + " |"


def say(line: str) -> None:
    print(line, file=sys.stderr)


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=DEFAULT_MODEL, help="folder, or a model's name")
    parser.add_argument("--train-data-dir", required=True, help="what the probes are fitted on")
    parser.add_argument("--val-data-dir", required=True, help="records with text and text_zh")
    parser.add_argument("--limit", type=int, help="only the first N records")
    parser.add_argument("--seed", type=int, default=0, help="of the first picture")
    parser.add_argument("--extractor", default="efficientnet-lite0")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--cache-dir", help="of features and generated pictures (ufc/evaluate in the user's cache)"
    )
    parser.add_argument("--output", type=Path, help="a file for the figures as JSON")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
