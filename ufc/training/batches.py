"""Training batches of the second stage: codes, masks, and a draw of controls for each.

With cached codes every batch is a function of its step, so a resumed run goes on with the batch it
was about to see; a stream knows where it stands.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ufc.conditioning.sequence import ControlItem
from ufc.conditioning.text import TextTokenizer
from ufc.training.codes.cache import CodeCache, reference_augmentation
from ufc.training.codes.shapes import OtherShapes
from ufc.training.conditioning_dropout import (
    ControlOdds,
    Rivals,
    attribute_neighbours,
    captions,
    sample_controls,
    sample_mask,
    sample_rng,
    step_references,
)
from ufc.training.lexicon.mixture import Mixture
from ufc.training.tasks.mixture import TaskSamples
from ufc.training.tasks.words import TaskSample
from ufc_base.data.datasets import Samples, as_float, batch_indices
from ufc_base.data.streams import Stream
from ufc_base.training.processes import Engine
from vqgan.model import VQGAN
from vqgan.training.data import positions_of


@dataclass(frozen=True)
class TrainBatch:
    """One step's samples.

    `codes_BT` are the targets and `masks_BT` the cells to fill. `text_labels` are the true ids
    of masked words, aligned with each item's text, -1 where nothing is asked. `rivals` are texts
    (ids) that are wrong for a sample in one thing; an empty one where there is none. `tasks` are
    what is asked beside the image, at most one thing in a place; empty where nothing ever is.
    `grid` is the (rows, columns) of the targets where that is not the model's own.
    """

    codes_BT: Tensor
    masks_BT: Tensor
    items: list[ControlItem]
    text_labels: list[list[int]]
    rivals: list[list[int]]
    tasks: list[TaskSample | None] = field(default_factory=list)
    grid: tuple[int, int] | None = None

    @property
    def text_tasks(self) -> list[TaskSample]:
        return [task for task in self.tasks if task is not None and task.blocks_T is None]

    @property
    def box_tasks(self) -> list[TaskSample]:
        return [task for task in self.tasks if task is not None and task.blocks_T is not None]

    def split(self, parts: int) -> list[TrainBatch]:
        """Equal parts of it, in order; their number divides the batch."""
        size = len(self.items) // parts
        return [
            TrainBatch(
                self.codes_BT[start : start + size],
                self.masks_BT[start : start + size],
                self.items[start : start + size],
                self.text_labels[start : start + size],
                self.rivals[start : start + size],
                self.tasks[start : start + size],
                self.grid,
            )
            for start in range(0, len(self.items), size)
        ]

    def to(self, device: torch.device) -> TrainBatch:
        return replace(self, codes_BT=self.codes_BT.to(device), masks_BT=self.masks_BT.to(device))

    @property
    def masked_words(self) -> int:
        return sum(label >= 0 for labels in self.text_labels for label in labels)

    @property
    def words_to_tell(self) -> int:
        return sum(label >= 0 for task in self.text_tasks for label in task.labels)


class Batches:
    """Draws the batch of any step from cached codes, or a process's `places` of it."""

    def __init__(
        self,
        cache: CodeCache,
        samples: Samples,
        text: TextTokenizer,
        *,
        batch_size: int,
        seed: int,
        odds: ControlOdds | None = None,
        neighbour_keys: Sequence[str] = ("type", "colour", "gender"),
        places: range | None = None,
        mixture: Mixture | None = None,
        tasks: TaskSamples | None = None,
        shapes: OtherShapes | None = None,
    ) -> None:
        self.cache = cache
        self.records = [samples.record(index) for index in range(len(samples))]
        self.text = text
        self.batch_size = batch_size
        self.seed = seed
        self.odds = odds or ControlOdds()
        self.neighbours = attribute_neighbours(self.records, neighbour_keys)
        self.ids = [[text.encode(caption) for caption in captions(r)] for r in self.records]
        self.rivals = Rivals(self.records, neighbour_keys, self.ids)
        self.places = places if places is not None else range(batch_size)
        self.mixture = mixture
        self.tasks = tasks
        self.shapes = shapes

    def __call__(self, step: int) -> TrainBatch:
        """The batch of a step."""
        size = len(self.records)
        indices = batch_indices(size, self.batch_size, step, self.seed, self.places)
        references = step_references(self.odds, self.seed, step) if self.cache.augmentations else 0
        codes, masks, items, labels, rivals = [], [], [], [], []
        grid = self.shapes(step) if self.shapes else self.cache.grid
        for index, place in zip(indices, self.places, strict=True):
            rng = sample_rng(self.seed, step, place)
            put = self.paraphraser(index, step, place)
            texts = [put(index)] if put else self.ids[index]
            draw = sample_controls(texts, references, self.odds, self.text.size, rng)
            pictures = [self.sample_reference(index, rng, draw.own) for _ in range(draw.references)]
            target_T = self.cache.target(index, rng.random() < 0.5)
            if self.shapes and grid != self.cache.grid:
                target_T = self.shapes.lay(target_T, grid, rng)
            codes.append(target_T)
            masks.append(sample_mask(grid, rng))
            items.append(ControlItem(draw.ids, pictures))
            labels.append(draw.labels)
            rivals.append(self.rivals.sample(index, draw.form, rng, put))
        tasks = [
            self.tasks(step, place, index)
            for index, place in zip(indices, self.places, strict=True)
            if self.tasks is not None
        ]
        other = None if grid == self.cache.grid else grid
        return TrainBatch(
            torch.stack(codes), torch.stack(masks), items, labels, rivals, tasks, other
        )

    def paraphraser(self, index: int, step: int, place: int) -> Callable[[int], list[int]] | None:
        """What puts samples in other words where this one gets a paraphrase, as ids."""
        phrase = self.mixture.phrase(step, place) if self.mixture else None
        if phrase is None or not phrase(self.records[index]):
            return None
        return lambda sample: self.text.encode(phrase(self.records[sample]))

    def sample_reference(self, index: int, rng: random.Random, own: bool) -> Tensor:
        """An augmented picture of the sample itself, or of a neighbour."""
        others = self.neighbours[index]
        if not own and len(others) > 1 and rng.random() < self.odds.neighbour:
            index = rng.choice(others)
        return self.cache.reference(index, rng.randrange(self.cache.augmentations))

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """There is nothing to know but the step."""


class StreamedBatches:
    """Draws batches from a stream, and encodes its pictures as they come.

    A picture's references are augmentations of itself: those that share its attributes lie
    anywhere in the stream.
    """

    def __init__(
        self,
        stream: Stream,
        tokenizer: VQGAN,
        text: TextTokenizer,
        engine: Engine,
        *,
        places: range,
        seed: int,
        augment: bool,
        odds: ControlOdds | None = None,
        mixture: Mixture | None = None,
    ) -> None:
        self.stream = stream
        self.tokenizer = tokenizer
        self.text = text
        self.engine = engine
        self.places = places
        self.seed = seed
        self.augment = reference_augmentation() if augment else None
        self.odds = odds or ControlOdds()
        self.mixture = mixture

    def __call__(self, step: int) -> TrainBatch:
        """The next batch, drawn as that of the step."""
        pixels, records = self.stream.next()
        references = step_references(self.odds, self.seed, step) if self.augment else 0
        flips, masks, draws = [], [], []
        for record, place in zip(records, self.places, strict=True):
            rng = sample_rng(self.seed, step, place)
            caption = rng.choice(captions(record) or [""])
            phrase = self.mixture.phrase(step, place) if self.mixture else None
            texts = [self.text.encode((phrase(record) if phrase else "") or caption)]
            draws.append(sample_controls(texts, references, self.odds, self.text.size, rng))
            flips.append(rng.random() < 0.5)
            masks.append(sample_mask(self.tokenizer.config.grid_size, rng))
        codes_BHW, pictures = self.encode(pixels, flips, [d.references for d in draws], step)
        items = [ControlItem(d.ids, own) for d, own in zip(draws, pictures, strict=True)]
        labels = [draw.labels for draw in draws]
        unknown: list[list[int]] = [[] for _ in records]
        return TrainBatch(codes_BHW.flatten(1), torch.stack(masks), items, labels, unknown)

    @torch.no_grad()
    def encode(
        self, pixels: Tensor, flips: Sequence[bool], references: Sequence[int], step: int
    ) -> tuple[Tensor, list[list[Tensor]]]:
        """Codes (B, h, w) of the pictures, some mirrored, and of each one's references."""
        x = as_float(pixels.to(self.engine.device))
        targets = torch.where(
            torch.tensor(flips, device=x.device)[:, None, None, None], x.flip(-1), x
        )
        owners = [index for index, count in enumerate(references) for _ in range(count)]
        if owners and self.augment is not None:
            with torch.random.fork_rng():
                seed = (self.seed << 40) + (step << 16) + self.engine.ranks.rank
                torch.manual_seed(seed % 2**63)
                targets = torch.cat([targets, self.augment(x[owners])])
        codes = self.tokenizer.encode(targets)
        pictures: list[list[Tensor]] = [[] for _ in references]
        for owner, own in zip(owners, codes[len(x) :].cpu(), strict=True):
            pictures[owner].append(own)
        return codes[: len(x)], pictures

    def state_dict(self) -> dict[str, Any]:
        return positions_of(self.stream, self.engine)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.stream.load_positions(state.get("positions", {}), state.get("plan"))

    def left_out(self) -> list[str]:
        return self.stream.left_out()
