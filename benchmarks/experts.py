"""Sparse experts against a dense model: `python -m benchmarks.experts`.

    python -m benchmarks.experts --train-data-dir DATA/train --val-data-dir DATA/val --minutes 30

A dense model, plain top-k of all experts, and k prototypes of top-1 (M6-T), over k and capacity.
All have experts as wide as the dense feed-forward part, and the same room for tokens in all:
an expert of E takes capacity × tokens / E of them, whatever k is. So a block computes about as much
as a dense one ("kept" has how much: the assignments that are carried out, for each token).

All contenders take their steps in turn, with the same batches, so that they have had as many when
the time is up, and whatever else the machine does meets them alike. Columns:

    loss          of masked codes on held-out pictures, with the capacity of training
    all served    the same, and no token is turned away: as when pictures are generated
    steps         until the held-out loss that the dense model has at its end
    imbalance     standard deviation of the experts' load over its mean, of the last steps
    kept, seconds assignments a token that were carried out; of a step
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.reports import write_report
from ufc.benchmark import machine
from ufc.conditioning.text import TextTokenizer
from ufc.io.hub import DEFAULT_MODEL
from ufc.training.batches import Batches
from ufc.training.config import TrainConfig
from ufc.training.objectives.masked_codes import code_loss
from ufc.training.setup import load_tokenizer, open_training, stored_batches
from ufc.training.trainer import Trainer, make_engine
from ufc_base.data.opening import open_validation_set
from vqgan.model import VQGAN

HELD_OUT_BATCHES = 8
LATEST = 50  # steps that the figures of the load are means of


@dataclass(frozen=True)
class Variant:
    """A kind of feed-forward part; `capacity` over an even share of one expert a token."""

    name: str
    k: int = 1
    capacity: float = 1.0
    prototypes: int = 1
    choices: int = 0  # 0 is dense


def variants(experts: int, ks: Sequence[int], capacities: Sequence[float]) -> list[Variant]:
    """The dense model and all others; k prototypes only where they are of one size."""
    found = [Variant("dense")]
    for capacity in capacities:
        for k in ks:
            found.append(Variant(f"top-{k}", k, capacity, 1, k))
            if k > 1 and experts % k == 0:
                found.append(Variant(f"{k} prototypes", k, capacity, k, 1))
    return found


@dataclass
class Contender:
    """A model in training, and what was seen of it."""

    variant: Variant
    trainer: Trainer
    curve: list[tuple[int, float]] = field(default_factory=list)  # step, held-out loss
    seconds: list[float] = field(default_factory=list)
    logs: list[dict[str, Any]] = field(default_factory=list)

    def step(self, batch: Any, progress: float) -> None:
        started = time.perf_counter()
        log = self.trainer.train_step(batch, progress)
        self.seconds.append(time.perf_counter() - started)
        self.logs = [*self.logs[1 - LATEST :], log]

    @torch.no_grad()
    def held_out(self, batches: Batches, training: bool = True) -> float:
        """Loss on held-out pictures; without dropout `training` means with a capacity."""
        model = self.trainer.model.train(training)
        losses = [
            float(code_loss(model, batches(step).to(self.trainer.device), 0.0).loss)
            for step in range(HELD_OUT_BATCHES)
        ]
        model.train()
        return sum(losses) / len(losses)

    def latest(self, name: str) -> float | None:
        found = [float(log[name]) for log in self.logs if name in log]
        return sum(found) / len(found) if found else None


def make_contender(
    variant: Variant, config: TrainConfig, tokenizer: VQGAN, text: TextTokenizer
) -> Contender:
    if variant.choices:
        config = replace(
            config,
            ffn="moe",
            prototypes=variant.prototypes,
            capacity_factor=variant.capacity / variant.k,
        )
    trainer = Trainer(config, tokenizer, text)
    for block in trainer.model.layers():
        if block.experts is not None:
            block.experts.choices = variant.choices
    return Contender(variant, trainer)


def steps_to(curve: Sequence[tuple[int, float]], loss: float) -> int | None:
    """The first step of a curve at which it is down to a loss."""
    return next((step for step, found in curve if found <= loss), None)


def row_of(one: Contender, dense: Contender, held_out: Batches) -> dict[str, Any]:
    dropped = one.latest("experts_dropped") or 0.0
    parameters = sum(p.numel() for p in one.trainer.model.parameters())
    return {
        "name": one.variant.name,
        "capacity": one.variant.capacity if one.variant.choices else None,
        "parameters": parameters,
        "loss": one.curve[-1][1],
        "loss_all_served": one.held_out(held_out, training=False),
        "steps_to_dense": steps_to(one.curve, dense.curve[-1][1]),
        "imbalance": one.latest("experts_imbalance"),
        "dropped": dropped if one.variant.choices else None,
        "kept": one.variant.k * (1 - dropped),
        "seconds": sorted(one.seconds)[len(one.seconds) // 2],
        "curve": one.curve,
    }


COLUMNS = ("model", "capacity", "parameters", "loss", "all served", "steps", "imbalance", "kept",
           "seconds")  # fmt: skip


def table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The rows as Markdown."""

    def shown(value: float | None, form: str) -> str:
        return "–" if value is None else format(value, form)

    yield "| " + " | ".join(COLUMNS) + " |"
    yield "|---" * len(COLUMNS) + "|"
    for row in rows:
        cells = [
            row["name"],
            shown(row["capacity"], "g"),
            f"{row['parameters'] / 1e6:.1f} M",
            f"{row['loss']:.3f}",
            f"{row['loss_all_served']:.3f}",
            shown(row["steps_to_dense"], "d"),
            shown(row["imbalance"], ".2f"),
            f"{row['kept']:.2f}",
            f"{row['seconds']:.3f}",
        ]
        yield "| " + " | ".join(cells) + " |"


def race(
    contenders: Sequence[Contender], source: Any, held_out: Batches, minutes: float, every: int
) -> int:
    """Train all of them in turn until the time is up; returns the steps that each has taken.

    `every` so many steps the held-out loss is taken, and at the end; the first step is for warm-up
    and does not count into the time.
    """
    step, started = 0, time.monotonic()
    while True:
        progress = min(1.0, (time.monotonic() - started) / (60 * minutes))
        batch = source(step)
        for one in contenders:
            one.step(batch, progress)
        step += 1
        if step == 1:
            started = time.monotonic()
        done = progress >= 1.0
        if done or step % every == 0:
            for one in contenders:
                one.curve.append((step, one.held_out(held_out)))
            told = ", ".join(f"{one.variant.name} {one.curve[-1][1]:.3f}" for one in contenders)
            print(f"step {step}: {told}", flush=True)
        if done:
            return step


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.experts",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--train-data-dir", required=True)
    parser.add_argument("--val-data-dir", required=True)
    parser.add_argument("--tokenizer", default=DEFAULT_MODEL, help="a folder, or a model's name")
    parser.add_argument("--minutes", type=float, default=30.0, help="of training, for all together")
    parser.add_argument("--experts", type=int, default=8)
    parser.add_argument("--k", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--capacity", type=float, nargs="+", default=[1.0, 1.25])
    parser.add_argument("--balance-weight", type=float, default=0.0)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--feed-forward", type=int, default=352)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--validation-steps", type=int, default=20)
    parser.add_argument("--work-dir", default="outputs/experts", help="where codes are kept")
    parser.add_argument("--output", default="benchmarks/results/experts.json")
    return parser.parse_args()


def main() -> int:
    """Entry point; returns the exit code."""
    options = arguments()
    config = TrainConfig(
        train_data_dir=options.train_data_dir,
        val_data_dir=options.val_data_dir,
        tokenizer=options.tokenizer,
        output_dir=options.work_dir,
        width=options.width,
        depth=options.depth,
        heads=max(1, options.width // 64),
        feed_forward=options.feed_forward,
        experts=options.experts,
        balance_weight=options.balance_weight,
        train_batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        lr_warmup_steps=20,
        augmentations=1,
        estimator_weight=0.0,
        mixed_precision="no",
        streaming=False,
    )
    tokenizer, engine = load_tokenizer(config), make_engine(config)
    tokenizer.to(engine.device)
    text, source = open_training(config, tokenizer, engine)
    file = Path(config.output_dir) / "codes-val.safetensors"
    held_out = stored_batches(
        config, tokenizer, open_validation_set(config), text, file, range(config.train_batch_size)
    )
    contenders = [
        make_contender(variant, config, tokenizer, text)
        for variant in variants(options.experts, options.k, options.capacity)
    ]
    steps = race(contenders, source, held_out, options.minutes, options.validation_steps)
    rows = [row_of(one, contenders[0], held_out) for one in contenders]
    report = {"machine": machine(), "settings": vars(options), "steps": steps, "rows": rows}
    write_report(Path(options.output), report)
    chance = math.log(tokenizer.config.codes)
    print(f"{steps} steps of {options.batch_size}; a loss of {chance:.2f} is chance\n")
    print("\n".join(table(rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
