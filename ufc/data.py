"""Training samples of the second stage: codes, and a draw of controls for each.

With cached codes every batch is a function of its step, so a resumed run goes on with the batch it
was about to see; a stream knows where it stands. Chance is drawn for each place of a batch by
itself, so that processes can share a batch.
"""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ufc.controls import ControlItem
from ufc.masking import training_masks
from ufc.text import TextTokenizer
from vqgan.data import Pixels, Samples, as_float, batch_indices
from vqgan.engine import Engine
from vqgan.model import VQGAN
from vqgan.sources import positions_of
from vqgan.stream import Stream


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
    """

    references: tuple[float, ...] = (0.8, 0.17, 0.03)
    text: tuple[float, float] = (0.88, 0.7)
    reference_drop: float = 0.1
    neighbour: float = 0.35
    word_drop: float = 0.5
    masked_text: float = 0.15


@dataclass(frozen=True)
class TrainBatch:
    """One step's samples.

    `codes_BT` are the targets and `masks_BT` the cells to fill. `text_labels` are the true ids
    of masked words, aligned with each item's text, -1 where nothing is asked. `rivals` are texts
    (ids) that are wrong for a sample in one thing; an empty one where there is none.
    """

    codes_BT: Tensor
    masks_BT: Tensor
    items: list[ControlItem]
    text_labels: list[list[int]]
    rivals: list[list[int]]

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
            )
            for start in range(0, len(self.items), size)
        ]

    def to(self, device: torch.device) -> TrainBatch:
        return replace(self, codes_BT=self.codes_BT.to(device), masks_BT=self.masks_BT.to(device))

    @property
    def masked_words(self) -> int:
        return sum(label >= 0 for labels in self.text_labels for label in labels)


def captions(record: dict[str, Any]) -> list[str]:
    """All texts of a sample, the canonical ones counted twice: they are what users type."""
    canonical = [record[key] for key in ("text", "text_zh") if record.get(key)]
    return canonical + list(record.get("captions") or []) + canonical


def training_texts(samples: Samples) -> list[str]:
    """Every text of a set, to learn a vocabulary from."""
    return [text for index in range(len(samples)) for text in captions(samples.record(index))]


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

    def draw(self, index: int, form: int, rng: random.Random) -> list[int]:
        """Ids of such a text, put as the sample's own text number `form`; empty if none is found.

        A form may leave out the one thing: then it is no rival, and another is tried.
        """
        own, values = self.ids[index], self.values[index]
        for _ in range(4 if own and self.alike else 0):
            key = rng.randrange(len(self.alike))
            other = rng.choice(self.alike[key][values[:key] + values[key + 1 :]])
            theirs = self.ids[other]
            differs = self.values[other][key] != values[key] and len(theirs) == len(own)
            if differs and theirs[form] not in own:
                return theirs[form]
        return []


def reference_augmentation() -> Callable[[Tensor], Tensor]:
    """Crops, flips, small turns and shifts by kornia; colours stay, they are to be carried over."""
    import kornia.augmentation as aug

    flip = aug.RandomHorizontalFlip(p=0.5)
    turn = aug.RandomAffine(degrees=10.0, translate=(0.08, 0.08), scale=(0.8, 1.15), p=0.8)

    def augment(x_BCHW: Tensor) -> Tensor:
        side = x_BCHW.shape[-1]
        crop = aug.RandomResizedCrop((side, side), scale=(0.5, 1.0), ratio=(0.8, 1.25), p=0.7)
        # Product pictures lie on white: shift the range so that the fill, 0, is white.
        return 1 - turn(crop(flip(1 - x_BCHW)))

    return augment


class CodeCache:
    """Codes of every picture: as it is, flipped, and augmented `augmentations` times.

    Kept as int16 in one safetensors file beside the run, under a key of tokenizer and data.
    """

    def __init__(self, codes_NVT: Tensor, grid: int) -> None:
        self.codes_NVT = codes_NVT
        self.grid = grid

    def target(self, index: int, flipped: bool) -> Tensor:
        """Codes of a picture (T,) int64."""
        return self.codes_NVT[index, int(flipped)].long()

    def reference(self, index: int, variant: int) -> Tensor:
        """Codes of one of its augmented versions, (h, w) int64."""
        return self.codes_NVT[index, 2 + variant].long().view(self.grid, self.grid)

    @property
    def augmentations(self) -> int:
        return self.codes_NVT.shape[1] - 2

    @classmethod
    def build(
        cls,
        tokenizer: VQGAN,
        pixels: Pixels,
        file: str | PathLike[str],
        *,
        augmentations: int,
        seed: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> CodeCache:
        """Read the cache if it is there and fits, else encode the set and write it."""
        file, grid = Path(file), tokenizer.config.grid
        key = cache_key(tokenizer, pixels, augmentations, seed)
        if file.is_file():
            with safe_open(file, framework="pt") as stored:
                if (stored.metadata() or {}).get("key") == key:
                    return cls(stored.get_tensor("codes"), grid)
        codes = encode_all(tokenizer, pixels, augmentations, seed, progress)
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file({"codes": codes}, file, metadata={"key": key})
        return cls(codes, grid)


def cache_key(tokenizer: VQGAN, pixels: Pixels, augmentations: int, seed: int) -> str:
    """Digest of what the codes depend on."""
    digest = hashlib.sha256(f"{len(pixels)} {pixels.resolution} {augmentations} {seed}".encode())
    for index in range(0, len(pixels), max(1, len(pixels) // 64)):
        digest.update(repr(sorted(pixels.samples.record(index).items(), key=str)).encode())
    for name, value in tokenizer.state_dict().items():
        if not name.startswith(("decoder.", "post_quant_conv.")):
            digest.update(value.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


@torch.no_grad()
def encode_all(
    tokenizer: VQGAN,
    pixels: Pixels,
    augmentations: int,
    seed: int,
    progress: Callable[[int, int], None] | None,
    batch_size: int = 64,
) -> Tensor:
    """(N, 2 + augmentations, T) int16."""
    device = next(tokenizer.parameters()).device
    augment = reference_augmentation() if augmentations else None
    out = torch.empty(len(pixels), 2 + augmentations, tokenizer.config.grid**2, dtype=torch.int16)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for start in range(0, len(pixels), batch_size):
            rows = range(start, min(start + batch_size, len(pixels)))
            x = pixels.batch(rows)
            variants = [x, x.flip(-1)] + [augment(x) for _ in range(augmentations) if augment]
            for place, variant in enumerate(variants):
                codes = tokenizer.encode(variant.to(device)).flatten(1)
                out[rows.start : rows.stop, place] = codes.to(torch.int16).cpu()
            if progress is not None:
                progress(rows.stop, len(pixels))
    return out


@dataclass(frozen=True)
class Draw:
    """What is drawn for one sample: its text, the words to be told, and its references.

    The text is number `form` of the sample's. `labels` are the true ids of masked words, aligned
    with `ids`, -1 where nothing is asked. With `own` the references are of the sample itself.
    """

    ids: list[int]
    labels: list[int]
    references: int
    own: bool
    form: int


def draw_controls(
    texts: Sequence[list[int]],
    references: int,
    odds: ControlOdds,
    mask: int,
    rng: random.Random,
) -> Draw:
    """Controls of one sample with these texts (ids) and at most so many references.

    `mask` is the id of a masked word.
    """
    kept = sum(rng.random() >= odds.reference_drop for _ in range(references))
    masked = kept > 0 and rng.random() < odds.masked_text
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
    return Draw(ids, labels, kept, own=masked, form=form)


def step_references(odds: ControlOdds, seed: int, step: int) -> int:
    """References a sample has at most in a step."""
    rng = random.Random(f"{seed}/{step}")
    return rng.choices(range(len(odds.references)), odds.references)[0]


def sample_rng(seed: int, step: int, place: int) -> random.Random:
    """Chance for one place of one step's batch, whichever process it falls to."""
    return random.Random(f"{seed}/{step}/{place}")


def sample_mask(grid: int, rng: random.Random) -> Tensor:
    """A training mask (T,) bool."""
    return training_masks(1, grid, torch.Generator().manual_seed(rng.getrandbits(62)))[0]


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

    def __call__(self, step: int) -> TrainBatch:
        """The batch of a step."""
        size = len(self.records)
        indices = batch_indices(size, self.batch_size, step, self.seed, self.places)
        references = step_references(self.odds, self.seed, step) if self.cache.augmentations else 0
        codes, masks, items, labels, rivals = [], [], [], [], []
        for index, place in zip(indices, self.places, strict=True):
            rng = sample_rng(self.seed, step, place)
            draw = draw_controls(self.ids[index], references, self.odds, self.text.size, rng)
            pictures = [self.draw_reference(index, rng, draw.own) for _ in range(draw.references)]
            codes.append(self.cache.target(index, rng.random() < 0.5))
            masks.append(sample_mask(self.cache.grid, rng))
            items.append(ControlItem(draw.ids, pictures))
            labels.append(draw.labels)
            rivals.append(self.rivals.draw(index, draw.form, rng))
        return TrainBatch(torch.stack(codes), torch.stack(masks), items, labels, rivals)

    def draw_reference(self, index: int, rng: random.Random, own: bool) -> Tensor:
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
    ) -> None:
        self.stream = stream
        self.tokenizer = tokenizer
        self.text = text
        self.engine = engine
        self.places = places
        self.seed = seed
        self.augment = reference_augmentation() if augment else None
        self.odds = odds or ControlOdds()

    def __call__(self, step: int) -> TrainBatch:
        """The next batch, drawn as that of the step."""
        pixels, records = self.stream.next()
        references = step_references(self.odds, self.seed, step) if self.augment else 0
        flips, masks, draws = [], [], []
        for record, place in zip(records, self.places, strict=True):
            rng = sample_rng(self.seed, step, place)
            texts = [self.text.encode(rng.choice(captions(record) or [""]))]
            draws.append(draw_controls(texts, references, self.odds, self.text.size, rng))
            flips.append(rng.random() < 0.5)
            masks.append(sample_mask(self.tokenizer.config.grid, rng))
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
                torch.manual_seed((self.seed << 40) + (step << 16) + self.engine.ranks.rank)
                targets = torch.cat([targets, self.augment(x[owners])])
        codes = self.tokenizer.encode(targets)
        pictures: list[list[Tensor]] = [[] for _ in references]
        for owner, own in zip(owners, codes[len(x) :].cpu(), strict=True):
            pictures[owner].append(own)
        return codes[: len(x)], pictures

    def state_dict(self) -> dict[str, Any]:
        return positions_of(self.stream, self.engine)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.stream.load_positions(state.get("positions", {}))
