"""Chinese-CLIP's two stages against one: the same towers, the same minutes.

    python scripts/compare_contrastive.py --train-data-dir TRAIN --val-data-dir VAL \\
        --output-dir runs/stages --minutes 20

Both image towers start from the encoder of the bundled tokenizer, for pictures of half its size.
`two stages` trains with that encoder frozen first and then everything, `one stage` everything from
the first step; what the frozen stage took (with encoding for it) is taken off the minutes of the
second. A contender that is finished is not trained again. Prints a table in Markdown.

    R-precision     a picture's own caption is first among 99 others that read differently
    recall          at 1, among all held-out captions, and among all held-out pictures
    type, colour    zero-shot: the one whose words fit the picture best, of all in held-out data
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ufc.contrastive_scorer import ContrastiveEstimator
from ufc.io.hub import DEFAULT_MODEL, resolve_model
from ufc.training.contrastive_training import ContrastiveTrainConfig, main, recall_report
from ufc.training.lexicon.words import load_lexicon
from ufc_base.data.datasets import fitted
from ufc_base.data.opening import open_validation_set
from ufc_base.data.samples import Samples
from vqgan.model import VQGAN

ATTRIBUTES = {"type": "types", "colour": "colours"}
LANGUAGES = ("en", "zh")
INDEX = "model_index.json"
NO_END = 1_000_000  # steps; the minutes end it
COLUMNS = ("R-precision", "picture → caption", "caption → picture", "type", "colour")


def half_size(model: str, folder: Path) -> Path:
    """A copy of a model's tokenizer and words, for pictures of half the size."""
    source = resolve_model(model)
    tokenizer = VQGAN.from_pretrained(source / "tokenizer")
    height, width = tokenizer.config.size
    tokenizer.config = replace(tokenizer.config, height=height // 2, width=width // 2)
    tokenizer.save_pretrained(folder / "tokenizer")
    for name in ("tokenizer.json", INDEX):
        shutil.copy(source / name, folder)
    return folder


def train(config: ContrastiveTrainConfig, minutes: float) -> ContrastiveEstimator:
    """Both stages, or the second alone where none is frozen, in so many minutes."""
    spent = 0.0
    if config.frozen_steps:
        started = time.monotonic()
        steps = config.frozen_steps
        main(replace(config, max_train_steps=steps, checkpointing_steps=steps))
        spent = (time.monotonic() - started) / 60
        config = replace(config, resume_from_checkpoint="latest")
    return main(replace(config, max_train_steps=NO_END, max_train_minutes=minutes - spent))


@torch.no_grad()
def zero_shot(estimator: ContrastiveEstimator, samples: Samples) -> dict[str, float]:
    """Share of pictures whose attribute is the one whose catalogue word is nearest."""
    encoder, lexicon = estimator.model.config.image, load_lexicon()
    records = [samples.record(index) for index in range(len(samples))]
    images = estimator.embed_images(
        fitted(samples[index].image, encoder.size, encoder.fit) for index in range(len(samples))
    )
    found = {}
    for name, kind in ATTRIBUTES.items():
        values = sorted({str(record.get(name)) for record in records})
        for language in LANGUAGES:
            named = {v: next(iter(lexicon.of(kind, v, language)), None) for v in values}
            known = [value for value in values if named[value]]
            texts = estimator.embed_texts([str(named[value]) for value in known])
            best = (images @ texts.T).argmax(1).tolist()
            rows = [(r, b) for r, b in zip(records, best, strict=True) if named[str(r.get(name))]]
            right = sum(known[b] == str(r.get(name)) for r, b in rows)
            found[f"{name}_{language}"] = right / len(rows)
    return found


def contender(options: argparse.Namespace, name: str, frozen_steps: int) -> dict[str, Any]:
    """Train one, measure it, and keep its figures."""
    file = options.output_dir / f"{name.replace(' ', '-')}.json"
    if not file.is_file():
        config = ContrastiveTrainConfig(
            train_data_dir=options.train_data_dir,
            val_data_dir=options.val_data_dir,
            model=str(half_size(options.model, options.output_dir / "half")),
            output_dir=str(options.output_dir / name.replace(" ", "-")),
            frozen_steps=frozen_steps,
            paraphrase_share=options.paraphrase_share,
        )
        estimator = train(config, options.minutes)
        samples = open_validation_set(config)
        report = recall_report(estimator, samples) | zero_shot(estimator, samples)
        file.write_text(json.dumps(report, indent=1), encoding="utf-8")
    return json.loads(file.read_text(encoding="utf-8"))


def table(rows: dict[str, dict[str, Any]]) -> Iterator[str]:
    """The figures as Markdown, a line for each contender and language."""
    yield "| stages | captions | " + " | ".join(COLUMNS) + " |"
    yield "|---" * (len(COLUMNS) + 2) + "|"
    for name, row in rows.items():
        for language in LANGUAGES:
            keys = ("r_precision_{}", "image_to_text_{}@1", "text_to_image_{}@1", "type_{}",
                    "colour_{}")  # fmt: skip
            cells = [f"{row[key.format(language)]:.3f}" for key in keys]
            yield f"| {name} | {language} | " + " | ".join(cells) + " |"


def run() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train-data-dir", required=True)
    parser.add_argument("--val-data-dir", required=True)
    parser.add_argument("--output-dir", required=True, type=Path)
    parser.add_argument("--model", default=DEFAULT_MODEL, help="folder, or a model's name")
    parser.add_argument("--minutes", type=float, default=20.0, help="of training, for each")
    parser.add_argument("--frozen-steps", type=int, default=250, help="of the first of two stages")
    parser.add_argument("--paraphrase-share", type=float, default=0.5, help="see docs/words.md")
    parser.add_argument("--only", choices=("one stage", "two stages"))
    options = parser.parse_args()
    options.output_dir.mkdir(parents=True, exist_ok=True)
    contenders = {"two stages": options.frozen_steps, "one stage": 0}
    names = [options.only] if options.only else list(contenders)
    rows = {name: contender(options, name, contenders[name]) for name in names}
    print("\n".join(table(rows)))
    return 0


if __name__ == "__main__":
    sys.exit(run())
