"""What tasks and objectives do to one another: small models, equal numbers of samples.

    python scripts/compare_objectives.py --train-data-dir TRAIN --val-data-dir VAL \
        --judge-data-dir FASHION/train --base runs/half --output-dir runs/compare [--only NAME …]

Each variant is trained by `ufc train` on pictures of half the size, then asked in words (`ufc
evaluate words`) and judged by what it generates (`estimators.metrics.probes`), all by commands that
users have. What is finished is not done again; several may run beside one another. Prints a line of
JSON for each variant, and writes it to `results/` in the output folder.

All variants have equally many places in equally many steps. Where a task is alone, it is asked at
each of them; in the mixture at its share (captions at 15 of 100 places, questions at 8, grounding
at 6), beside the picture that every place has. `samples_per_second` only compares variants that
have been trained one after another on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ufc.io.hub import DEFAULT_MODEL

INDEX = "model_index.json"
GIVEN = ("train_data_dir", "val_data_dir", "judge_data_dir", "tokenizer", "steps", "limit")
CONFIGS = Path(__file__).parent.parent / "configs"
CAPTIONS = ("captioning", "captioning-zh", "caption-infilling")
CHANGES = {"width": 192, "depth": 4, "heads": 3, "feed_forward": 528, "estimator_weight": 0.0}
NO_CODES = {"code_weight": 0.0, "text_weight": 0.0}  # what a model of one task has no use for
NEXT_CODES = {"objectives": ["autoregressive=0.3"]}


@dataclass(frozen=True)
class Variant:
    """A mixture of tasks with its weights, further settings, and which orders are judged."""

    tasks: Mapping[str, float]
    settings: Mapping[str, Any] = field(default_factory=dict)
    orders: Sequence[str] = ()
    words: bool = True
    from_base: bool = False  # since estimators learn late
    ask_all_tasks: bool = False  # also those that it has not learnt
    phrasings: bool = False  # whether it is asked in words that captions never use


def variants(mixture: Mapping[str, float]) -> dict[str, Variant]:
    """All comparisons, by name; `mixture` is that of the bundled model."""
    questions = {name: w for name, w in mixture.items() if name.startswith("question")}

    def without(*names: str) -> dict[str, float]:
        return {name: w for name, w in mixture.items() if name not in names}

    def heard(tasks: Mapping[str, float]) -> Variant:
        return Variant(tasks, orders=("maskgit",), words=False, phrasings=True)

    alone = {"objectives": ["autoregressive=1"], "autoregressive_share": 1.0, "code_weight": 0.0}
    estimators = {"estimator_start": 0.0, "estimator_steps": 2, "lr_warmup_steps": 20}
    aligned = {"objectives": [*NEXT_CODES["objectives"], "iais=0.1"]}
    return {
        "mixture": Variant(mixture, NEXT_CODES, ("maskgit", "autoregressive")),
        "images": Variant({"text-to-image": 1}, orders=("maskgit",), words=False),
        "next codes": Variant({"autoregressive": 1}, alone, ("autoregressive",), words=False),
        "captions": Variant({name: mixture[name] for name in CAPTIONS}, NO_CODES),
        "questions": Variant(questions, NO_CODES),
        "grounding": Variant({"grounding": 1}, NO_CODES),
        "without captions": Variant(without(*CAPTIONS), NEXT_CODES, ask_all_tasks=True),
        "without colour questions": Variant(
            without("question-colour", "question-colour-zh"), NEXT_CODES, ask_all_tasks=True
        ),
        "images, phrasings": heard({"text-to-image": 1}),
        "images and text alone": heard({"text-to-image": 1, "text-alone": 0.25}),
        "images, a third without captions": heard({"text-to-image": 1, "masked-image": 0.5}),
        "estimators": Variant(mixture, NEXT_CODES | estimators, words=False, from_base=True),
        "estimators, IAIS": Variant(mixture, estimators | aligned, words=False, from_base=True),
    }


@dataclass(frozen=True)
class Runner:
    """Runs one variant's commands in a folder of its own."""

    options: argparse.Namespace
    folder: Path
    variant: Variant
    results: dict[str, Any] = field(default_factory=dict)

    def run(self) -> dict[str, Any]:
        self.folder.mkdir(parents=True, exist_ok=True)
        model = self.folder / "model"
        self.check_settings()
        if not (model / INDEX).is_file():
            self.train(model)
        rows = [json.loads(line) for line in (model / "metrics.jsonl").open(encoding="utf-8")]
        for row in rows:
            self.results.update({name: x for name, x in row.items() if name.startswith("val_")})
        speeds = [row["samples_per_second"] for row in rows if "samples_per_second" in row]
        self.results["samples_per_second"] = speeds[-1] if speeds else None
        if self.variant.words:
            every = self.variant.ask_all_tasks
            self.evaluate_words(self.with_all_tasks(model) if every else model)
        for order in self.variant.orders:
            self.generate(model, order)
        if self.variant.phrasings:
            self.evaluate_phrasings(model)
        return self.results

    def settings(self) -> dict[str, Any]:
        """The recipe that the variant is trained by."""
        recipe = yaml.safe_load((CONFIGS / "fashion-192x256-half.yaml").read_text(encoding="utf-8"))
        start = {"init_from": self.options.base} if self.variant.from_base else CHANGES
        return {**recipe, "objectives": [], **start, **self.variant.settings}

    def check_settings(self) -> None:
        """Keep what the folder is of.

        Raises:
            SystemExit: it has results of something else.
        """
        given = {name: str(getattr(self.options, name)) for name in GIVEN}
        own = {"tasks": dict(self.variant.tasks), "recipe": self.settings(), **given}
        file, text = self.folder / "settings.json", json.dumps(own, indent=1)
        if file.is_file() and file.read_text(encoding="utf-8") != text:
            sys.exit(f"{file} has other settings; take another --output-dir")
        file.write_text(text, encoding="utf-8")

    def train(self, model: Path) -> None:
        model.mkdir(exist_ok=True)
        for codes in self.options.output_dir.glob("*/model/*codes*.safetensors"):
            if not (model / codes.name).exists():  # the same for all
                part = shutil.copy(codes, model / f".{codes.name}")
                Path(part).rename(model / codes.name)
        tasks, config = self.folder / "tasks.yaml", self.folder / "config.yaml"
        tasks.write_text(yaml.safe_dump(dict(self.variant.tasks)), encoding="utf-8")
        config.write_text(yaml.safe_dump(self.settings()), encoding="utf-8")
        ufc(
            "train", "--config", str(config), "--tokenizer", self.options.tokenizer,
            "--tasks", str(tasks), "--train-data-dir", self.options.train_data_dir,
            "--val-data-dir", self.options.val_data_dir, "--output-dir", str(model),
            "--max-train-steps", str(self.options.steps), "--max-train-minutes", "1000",
            "--validation-steps", str(self.options.steps), "--resume-from-checkpoint", "latest",
        )  # fmt: skip

    def with_all_tasks(self, model: Path) -> Path:
        """A model of the same weights that takes the mixture's tasks for its own.

        Raises:
            SystemExit: the mixture is not there yet.
        """
        mixture = self.options.output_dir / "mixture" / "model" / INDEX
        if not mixture.is_file():
            sys.exit(f"{mixture} is not there: train the variant `mixture` first")
        leave = shutil.ignore_patterns("checkpoint-*", "*codes*.safetensors")
        copy = self.folder / "all-tasks"
        shutil.copytree(model, copy, ignore=leave, dirs_exist_ok=True)
        tasks = json.loads(mixture.read_text(encoding="utf-8"))["tasks"]
        index = json.loads((model / INDEX).read_text(encoding="utf-8")) | {"tasks": tasks}
        (copy / INDEX).write_text(json.dumps(index), encoding="utf-8")
        return copy

    def evaluate_words(self, model: Path) -> None:
        file = self.folder / "words" / "words.json"
        if not file.is_file():
            ufc(
                "evaluate", "words", "--model", str(model), "--real", self.options.val_data_dir,
                "--train-data-dir", self.options.judge_data_dir, "--quiet", "--fit", "stretch",
                "--limit", str(self.options.limit), "--output-dir", str(file.parent),
            )  # fmt: skip
        self.results["words"] = json.loads(file.read_text(encoding="utf-8"))

    def evaluate_phrasings(self, model: Path) -> None:
        printed = output_of(
            "ufc", "evaluate", "phrasings", "--model", str(model), "--json", "--quiet",
            "--train-data-dir", self.options.judge_data_dir, "--fit", "stretch",
        )  # fmt: skip
        self.results["phrasings"] = json.loads(printed)["groups"]

    def generate(self, model: Path, order: str) -> None:
        pictures, prompts = self.folder / order, self.options.output_dir / "prompts.jsonl"
        probes = self.options.output_dir / "probes.npz"
        if not probes.is_file():
            judge("fit", self.options.judge_data_dir, "-o", str(probes))
        if not prompts.is_file():
            judge("prompts", self.options.val_data_dir, "-o", str(prompts), extractor=False)
        ufc(
            "generate", "--model", str(model), "--prompts-file", str(prompts), "--resume",
            "--order", order, "--output-dir", str(pictures), "--batch-size", "16", "--quiet",
            "--limit", str(self.options.limit), "--best-of", "1", "--guidance-scale", "4",
        )  # fmt: skip
        report = judge(
            "judge", str(pictures), "--data", self.options.val_data_dir, "--probes", str(probes),
            "--json",
        )  # fmt: skip
        self.results[order] = json.loads(report)


def ufc(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "ufc", *arguments], check=True)


def judge(action: str, *arguments: str, extractor: bool = True) -> str:
    """What a command of the probes prints."""
    own = ["--extractor", "efficientnet-lite0"] if extractor else []
    return output_of("estimators.metrics.probes", action, *arguments, *own)


def output_of(module: str, *arguments: str) -> str:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train-data-dir", required=True)
    parser.add_argument("--val-data-dir", required=True)
    parser.add_argument("--judge-data-dir", required=True, help="what probes are fitted on")
    parser.add_argument("--tokenizer", default=DEFAULT_MODEL, help="a folder, or a model's name")
    parser.add_argument("--base", help="half-size model that variants with estimators go on from")
    parser.add_argument("--output-dir", required=True, type=Path)
    parser.add_argument("--steps", type=int, default=500, help="of 64 samples each")
    parser.add_argument("--limit", type=int, default=200, help="pictures that figures are of")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these variants")
    options = parser.parse_args()
    mixture = yaml.safe_load((CONFIGS / "tasks-fashion.yaml").read_text(encoding="utf-8"))
    known = variants(mixture)
    names = options.only or [
        name for name, one in known.items() if options.base or not one.from_base
    ]
    for name in names:
        if name not in known:
            parser.error(f"there is no variant {name!r}; choose from {', '.join(known)}")
        if known[name].from_base and not options.base:
            parser.error(f"{name}: give --base, or --only others")
    results = options.output_dir / "results"
    for name in names:
        found = Runner(options, options.output_dir / name.replace(" ", "-"), known[name]).run()
        results.mkdir(parents=True, exist_ok=True)
        (results / f"{name}.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
        print(json.dumps({"name": name, **found}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
