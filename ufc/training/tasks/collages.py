"""Collages of two to four photographs, of which it is known where each of them is.

A collage is put together of codes: each photograph is encoded at half its size, once, and takes a
quarter of the grid; what stays free is white. Which blocks of a photograph show the thing, and not
the ground, is the box around all that is not white.

Shapes: N photographs, H W half the grid's rows and columns.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ufc.captioning.instructions import spoken
from ufc.conditioning.control_item import ControlItem
from ufc.conditioning.text import TextTokenizer
from ufc.tasks.attributes import TEXT
from ufc.tasks.plan import Plan
from ufc.training.codes.cache import cache_key, dtype_of
from ufc.training.conditioning_dropout import captions
from ufc.training.tasks.values import Record
from ufc.training.tasks.words import TaskSample
from ufc_base.data.datasets import DataError, Pixels
from ufc_base.training.kept_tensors import kept_tensors
from vqgan.model import VQGAN

WHITE = 0.92  # pixels of -1..1 are ground from here on, in each channel
ABSENT = 0.1  # share of the questions about a thing that is not there
CHOICES = ("type", "colour", "caption")  # what is asked for, if it tells the photographs apart


@dataclass(frozen=True)
class Collages:
    """Codes and boxes of every photograph at half size, and the code of white."""

    codes_NHW: Tensor
    boxes_NHW: Tensor  # bool
    white_HW: Tensor

    def collage(self, members: Sequence[int], quarters: Sequence[int]) -> Tensor:
        """A grid (2H, 2W) with each member in its quarter, counted row by row."""
        parts = [self.white_HW] * 4
        for member, quarter in zip(members, quarters, strict=True):
            parts[quarter] = self.codes_NHW[member].long()
        return quartered(parts)

    def boxes(self, members: Sequence[int], quarters: Sequence[int]) -> Tensor:
        """The blocks of those members, (2H, 2W) bool."""
        parts = [torch.zeros_like(self.white_HW, dtype=torch.bool)] * 4
        for member, quarter in zip(members, quarters, strict=True):
            parts[quarter] = self.boxes_NHW[member]
        return quartered(parts)


def quartered(parts: Sequence[Tensor]) -> Tensor:
    """Four grids as one."""
    rows = [torch.cat(list(parts[at : at + 2]), dim=1) for at in (0, 2)]
    return torch.cat(rows)


def foreground(x_BCHW: Tensor, block: int) -> Tensor:
    """Blocks inside the box around all that is not white, (B, rows, columns) bool."""
    thing_BHW = (x_BCHW < WHITE).any(1).float()
    # A block counts where a twentieth of it does: noise of the ground is no thing.
    blocks = F.avg_pool2d(thing_BHW[:, None], block)[:, 0] > 0.05
    rows_BH, columns_BW = blocks.any(2), blocks.any(1)
    return between(rows_BH)[:, :, None] & between(columns_BW)[:, None, :]


def between(line_BN: Tensor) -> Tensor:
    """True from the first True to the last one."""
    ahead = line_BN.int().cumsum(1) > 0
    behind = line_BN.int().flip(1).cumsum(1).flip(1) > 0
    return ahead & behind


@torch.no_grad()
def halves(tokenizer: VQGAN, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    """Codes (B, H, W) and boxes of pictures at half their size."""
    small = F.interpolate(x_BCHW, scale_factor=0.5, mode="area")
    return tokenizer.encode(small), foreground(small, tokenizer.config.downsampling)


@torch.no_grad()
def build_collages(
    tokenizer: VQGAN, pixels: Pixels, file: str | PathLike[str], batch_size: int = 64
) -> Collages:
    """Encode a set at half its size, or read what an earlier run kept of it.

    Raises:
        DataError: the grid has no halves.
    """
    rows, columns = tokenizer.config.grid_size
    if rows % 2 or columns % 2:
        raise DataError(
            f"a grid of {rows} x {columns} blocks has no halves, which collages are made of: leave "
            "tasks of BOX out, or train a tokenizer of a picture of an even number of blocks"
        )
    device = next(tokenizer.parameters()).device

    def make() -> dict[str, Tensor]:
        codes, boxes = [], []
        for start in range(0, len(pixels), batch_size):
            x = pixels.batch(range(start, min(start + batch_size, len(pixels)))).to(device)
            codes_BHW, boxes_BHW = halves(tokenizer, x)
            codes.append(codes_BHW.to(dtype_of(tokenizer.config.codes)).cpu())
            boxes.append(boxes_BHW.cpu())
        white = torch.ones(1, 3, *tokenizer.config.size, device=device)
        codes_of_white = halves(tokenizer, white)[0][0].cpu()
        return {"codes": torch.cat(codes), "boxes": torch.cat(boxes), "white": codes_of_white}

    kept = kept_tensors(Path(file), cache_key(tokenizer, pixels, "halves"), make)
    return Collages(kept["codes"], kept["boxes"], kept["white"])


def grounding_sample(
    plan: Plan,
    records: Sequence[Record],
    index: int,
    collages: Collages,
    text: TextTokenizer,
    rng: random.Random,
) -> TaskSample | None:
    """A collage with sample `index` in it, a question, and the blocks that it is about."""
    others = rng.sample(range(len(records)), min(rng.randint(1, 3), len(records)))
    members = [index, *(other for other in others if other != index)]
    quarters = rng.sample(range(4), len(members))
    absent = rng.random() < ABSENT
    field, words = asked_words(records[rng.randrange(len(records)) if absent else index], rng)
    if not words:
        return None
    about = [
        (m, q) for m, q in zip(members, quarters, strict=True) if means(records[m], field, words)
    ]
    if absent and about:
        return None
    blocks = collages.boxes([m for m, _ in about], [q for _, q in about])
    values = {slot.name: words for slot in plan.instruction.given.values() if slot.kind == TEXT}
    item = ControlItem(text.encode(spoken(plan, values)), [collages.collage(members, quarters)])
    return TaskSample(item, [-1] * len(item.text), blocks.flatten())


def asked_words(record: Record, rng: random.Random) -> tuple[str, str]:
    """A type, a colour or a caption of a record, and which of them it is."""
    field = rng.choice(CHOICES)
    if field == "caption":
        found = captions(dict(record))
        return field, rng.choice(found) if found else ""
    value = record.get(field)
    return field, value.lower() if isinstance(value, str) else ""


def means(record: Record, field: str, words: str) -> bool:
    """Whether a record is what the words name: by the field, or by one of its captions."""
    if field == "caption":
        return words in captions(dict(record))
    value = record.get(field)
    return isinstance(value, str) and value.lower() == words
