"""`ufc train-contradiction`: pairs made of a training set's captions, learnt in a minute or two."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from estimators.contradiction.card import contradiction_card
from estimators.contradiction.meaning import LABELS, OUTPUTS, Item
from estimators.contradiction.model import (
    Batch,
    ContradictionConfig,
    ContradictionModel,
    FlatTree,
    flatten,
    known_words,
)
from estimators.contradiction.pairs import Pair, Style, items_of, sample_pair, tied_pair
from estimators.contradiction.trees import parse
from ufc_base.data.datasets import batch_indices, unseen_samples
from ufc_base.data.names import DataError
from ufc_base.data.opening import no_captions, reading_of
from ufc_base.data.records import has_caption
from ufc_base.publishing.upload import make_repository, push_result
from ufc_base.settings import SharedSettings, setting
from ufc_base.training.checkpoints import Checkpoints
from ufc_base.training.loop import Run, WeightAverage, learning_rate_scale
from ufc_base.training.processes import Engine
from ufc_base.training.run_settings import kept
from vqgan.training.export import load_averages, read_averages

TIED = 0.2  # share of pairs whose words tie
UNKNOWN = 0.15  # share of words shown by their n-grams alone
JUDGED = 1000  # pairs of each kind that a report is of


@dataclass
class ContradictionTrainConfig(SharedSettings):
    """Flags of `ufc train-contradiction`."""

    train_data_dir: str = setting(
        "", "ImageFolder (metadata.jsonl, .csv or .parquet), or WebDataset shards: their captions."
    )
    output_dir: str = setting("runs/contradiction", "Where model, checkpoints and log go.")
    val_data_dir: str | None = setting(None, "Held-out data for accuracy on combinations unseen.")
    embedding: int = setting(32, "Length of a word's embedding.")
    channels: int = setting(128, "Channels of the convolution over trees.")
    hidden: int = setting(64, "Width of the layer after matching.")
    pairs: int = setting(80_000, "Pairs of phrases made to learn from.")
    train_batch_size: int = setting(256, "Pairs a step.")
    max_train_steps: int = setting(2000, "Steps in all.")
    max_train_minutes: float | None = setting(
        None, "Minutes at work, pauses not counted, if they are over sooner."
    )
    learning_rate: float = setting(5e-3, "Peak learning rate; it falls by a cosine.")
    lr_warmup_steps: int = setting(50, "Steps of linear warm-up.", 0)
    weight_decay: float = setting(0.01, "Weight decay.")
    ema_decay: float = setting(0.99, "Decay of the averaged weights, which are what is written.")
    checkpointing_steps: int = setting(1000, "Steps between checkpoints.")
    checkpoints_total_limit: int = setting(2, "Checkpoints kept.")
    max_skipped_steps: int = setting(
        20, "Steps in a row that may be skipped for a loss that is not finite; more end the run.", 0
    )
    logging_steps: int = setting(100, "Steps between lines of the log.")
    resume_from_checkpoint: str | None = setting(
        None, "latest, or a checkpoint-N folder: newer ones of the run are then removed."
    )
    seed: int = setting(0, "Seed of the run.", 0)


class Examples:
    """Pairs as flat trees and label numbers; a step's share of them is a function of the step."""

    def __init__(self, pairs: Sequence[Pair], seed: int = 0) -> None:
        self.asked = [flatten(parse(pair.prompt)) for pair in pairs]
        self.shown = [flatten(parse(pair.caption)) for pair in pairs]
        self.labels = labels_of(pairs)
        self.seed = seed

    def draw(self, batch: int, step: int) -> tuple[list[FlatTree], Tensor]:
        """All prompts and then all captions of a step, and labels (B, A)."""
        indices = batch_indices(len(self.asked), batch, step, self.seed)
        trees = [self.asked[i] for i in indices] + [self.shown[i] for i in indices]
        return trees, self.labels[indices]


def labels_of(pairs: Sequence[Pair]) -> Tensor:
    """The places of labels in `LABELS`, (B, A)."""
    return torch.tensor([[LABELS.index(pair.labels[o]) for o in OUTPUTS] for pair in pairs])


class Trainer:
    """The state of a run: model, averages, optimiser."""

    def __init__(self, config: ContradictionTrainConfig) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.model = ContradictionModel(
            ContradictionConfig(
                vocabulary=known_words(),
                embedding=config.embedding,
                channels=config.channels,
                hidden=config.hidden,
            )
        )
        self.average = WeightAverage(self.model, config.ema_decay)
        self.optimizer = make_optimizer(self.model, config)
        self.step = 0

    def train_step(
        self, trees: Sequence[FlatTree], labels_BA: Tensor, progress: float
    ) -> dict[str, Any]:
        """One step on 2 B trees, prompts before captions."""
        config, step = self.config, self.step
        self.step += 1
        rate = config.learning_rate * learning_rate_scale(step, config.lr_warmup_steps, progress)
        batch = self.model.words.assemble(trees)
        loss = learn(self.model, self.optimizer, batch, labels_BA, rate, config.seed + step)
        if loss is None:
            return {"skipped": True}
        self.average.update(self.model)
        return {"loss": loss, "lr": rate}

    def state_dict(self) -> dict[str, Any]:
        return {
            "config": self.model.config.to_dict(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict(),
            "step": self.step,
            "contradiction": True,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.load_state_dict(state["average"])
        self.step = state["step"]


def make_optimizer(model: nn.Module, config: ContradictionTrainConfig) -> torch.optim.AdamW:
    """AdamW, its decay the same everywhere: it is small, and so are the weights."""
    return torch.optim.AdamW(
        model.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True
    )


def learn(
    model: ContradictionModel,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    labels_BA: Tensor,
    rate: float,
    seed: int,
) -> Tensor | None:
    """One step of an optimiser, or nothing and None where the loss is not finite.

    Dropout and which words are shown as unknown depend on the seed alone.
    """
    torch.manual_seed(seed)
    for group in optimizer.param_groups:
        group["lr"] = rate
    model.train()
    unknown_U = torch.rand(len(batch.words_U)) < UNKNOWN
    hidden = replace(batch, words_U=batch.words_U.masked_fill(unknown_U, len(model.words.rows)))
    loss = F.cross_entropy(model(hidden).flatten(0, 1), labels_BA.flatten())
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    if not math.isfinite(float(norm) + float(loss.detach())):
        return None
    optimizer.step()
    return loss.detach()


def main(config: ContradictionTrainConfig) -> ContradictionModel:
    """Train, write the averaged weights in half precision, and report accuracy on held-out pairs.

    Raises:
        DataError: unusable data, or captions without a word of the lexicon.
        CheckpointError: an unusable checkpoint.
        Stopped: by SIGINT or SIGTERM, after a checkpoint has been written.
        Diverged: losses or weights are not finite.
    """
    engine = Engine("cpu")
    Checkpoints(config.output_dir).begin(
        config.resume_from_checkpoint, config if engine.first else None
    )
    items = read_items(config, config.training_data, "train")
    examples = Examples(training_pairs(items, config.pairs, config.seed), config.seed)
    trainer = Trainer(config)
    if engine.first:
        make_repository(config)
    with Run(trainer, config, engine) as run:
        while (progress := run.progress(trainer.step, config.max_train_steps)) < 1:
            trees, labels_BA = examples.draw(config.train_batch_size, trainer.step)
            run.took(trainer.train_step(trees, labels_BA, progress))
            if run.due(config.checkpointing_steps):
                run.save()
    model = finish(trainer)
    if engine.first:
        model.save_pretrained(config.output_dir)
    if config.held_out_data:
        unseen = read_items(config, config.held_out_data, "validation")
        run.log.write(trainer.step, **report(model, unseen))
    if engine.first:
        push_result(
            config, model.save_pretrained, lambda name: contradiction_card(name, kept(config))
        )
    return model


def read_items(config: ContradictionTrainConfig, data: str, split: str) -> list[Item]:
    """What the captions of a set name; its pictures are not looked at.

    Raises:
        DataError: there are no captions, or none names a type that the lexicon has.
    """
    reading = reading_of(config)
    samples = unseen_samples(data, reading, split)
    records = [samples.record(index) for index in range(len(samples))]
    captions = [str(r.get("text") or r.get("text_zh")) for r in records if has_caption(r)]
    if not captions:
        raise no_captions(config, sorted({name for record in records[:100] for name in record}))
    items = items_of(captions)
    if not any(item.colour for item in items):
        raise DataError(
            f"{data}: of {len(captions)} captions none names a type and a colour that the lexicon "
            'has ("red handbag", 红色手提包): add words to estimators/contradiction/lexicon.py, or '
            "name other captions with --caption-column"
        )
    return items


def training_pairs(items: Sequence[Item], count: int, seed: int) -> list[Pair]:
    """Pairs to learn from, some of whose words tie."""
    rng = random.Random(seed)
    makers = rng.choices((tied_pair, sample_pair), (TIED, 1 - TIED), k=count)
    return [make(items, rng, Style()) for make in makers]


def finish(trainer: Trainer) -> ContradictionModel:
    """The averaged model."""
    model = ContradictionModel(trainer.model.config)
    model.load_state_dict(trainer.average.shadow)
    return model.eval()


def export_contradiction(
    config: ContradictionTrainConfig, checkpoint: Path, dtype: torch.dtype | None = None
) -> Path:
    """Write a checkpoint's averaged weights to `config.output_dir`; returns that folder.

    Raises:
        CheckpointError: the checkpoint cannot be used.
    """
    state = read_averages(checkpoint, config.output_dir, "a contradiction model", "contradiction")
    model = ContradictionModel(ContradictionConfig.from_dict(state["config"]))
    load_averages(model, state)
    model.save_pretrained(config.output_dir, dtype)
    return Path(config.output_dir)


def held_out_pairs(
    items: Sequence[Item], count: int = JUDGED, seed: int = 1
) -> dict[str, list[Pair]]:
    """Pairs to be judged by: words that tie, and combinations and ways of writing unseen."""
    rng = random.Random(seed)
    kinds = {
        "tied": (tied_pair, Style()),
        "tied_unseen": (tied_pair, Style(unseen=True)),
        "unseen": (sample_pair, Style(unseen=True)),
    }
    return {
        name: [make(items, rng, style) for _ in range(count)]
        for name, (make, style) in kinds.items()
    }


def report(model: ContradictionModel, items: Sequence[Item]) -> dict[str, float]:
    """Accuracy of overall and colour verdicts on held-out pairs of each kind, 0..1."""
    found: dict[str, float] = {}
    for name, pairs in held_out_pairs(items).items():
        examples = Examples(pairs)
        right = accuracy(model, [*examples.asked, *examples.shown], examples.labels)
        found |= {name: right["overall"], f"{name}_colour": right["colour"]}
    return found


@torch.no_grad()
def accuracy(
    model: ContradictionModel, trees: Sequence[FlatTree], labels_BA: Tensor
) -> dict[str, float]:
    """The share of right verdicts for each of `OUTPUTS`, on prompts and then captions."""
    model.eval()
    right_BA = model(model.words.assemble(trees)).argmax(-1) == labels_BA
    return dict(zip(OUTPUTS, right_BA.float().mean(0).tolist(), strict=True))
