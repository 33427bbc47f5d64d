"""A finished picture, block by block: what the model doubts, and what its tokenizer cannot show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ufc.conditioning.frame import Grid, sides
from ufc.conditioning.sequence import ControlItem
from ufc.pipeline import UFCPipeline
from ufc.sampling.guidance import make_predict, make_prefix, make_score
from ufc.sampling.token_sampling import confidence_of


@dataclass(frozen=True)
class Assessment:
    """What the model thinks of codes: `confidence` of every block, row-major, and the scores.

    All are 0..1; `compliance` is None where there was no control to obey.
    """

    confidence: tuple[float, ...]
    compliance: float | None
    fidelity: float

    @property
    def score(self) -> float:
        """The mean of the scores that there are."""
        return self.fidelity if self.compliance is None else (self.compliance + self.fidelity) / 2


@torch.no_grad()
def assess(
    pipe: UFCPipeline,
    codes: Sequence[int],
    prompt: str | None = None,
    reference_images: Sequence[Image.Image] = (),
    grid: tuple[int, int] | None = None,
) -> Assessment:
    """How probable every block of a grid is, given all blocks that do not touch it on a side.

    The `grid` has (rows, columns), those that the model was trained on if none is given.

    The grid is masked in two chequered halves, so that two passes see every block once with its
    four neighbours known.
    """
    grid = grid or pipe.grid_size
    references = [pipe.encode_reference(picture) for picture in reference_images]
    item = ControlItem(pipe.encode_text(prompt, []), references, [1.0] * len(references))
    with pipe.at_work(pipe.transformer):
        return assess_item(pipe, codes, item, grid)


def assess_item(
    pipe: UFCPipeline, codes: Sequence[int], item: ControlItem, grid: tuple[int, int]
) -> Assessment:
    """`assess` of a ready conditioning, while the transformer is where it works."""
    prefix = make_prefix(pipe.transformer, [item])
    known_T = torch.as_tensor(codes, dtype=torch.int64, device=pipe.device)
    ask_MT = chequers(*grid).to(pipe.device)
    owner_M = torch.zeros(len(ask_MT), dtype=torch.int64, device=pipe.device)
    grids_MT = torch.where(ask_MT, pipe.transformer.config.codes, known_T)
    predict = make_predict(pipe.transformer, prefix, None, 1.0, grid)
    prediction = predict(grids_MT, owner_M, ask_MT)
    asked_N = known_T.expand_as(ask_MT)[ask_MT]
    confidence_T = torch.empty(len(known_T))
    sure_N = confidence_of(prediction, asked_N, pipe.alike)
    confidence_T[ask_MT.nonzero()[:, 1].cpu()] = sure_N.cpu()
    score = make_score(pipe.transformer, prefix, grid)
    scores = {name: float(value) for name, value in score(known_T[None], owner_M[:1]).items()}
    compliance = None if item.empty else scores["compliance"]
    return Assessment(tuple(confidence_T.tolist()), compliance, scores["fidelity"])


def chequers(rows: int, columns: int) -> Tensor:
    """The black and the white squares of a board, (2, rows * columns) bool."""
    black = ((torch.arange(rows)[:, None] + torch.arange(columns)) % 2 == 0).flatten()
    return torch.stack([black, ~black])


def weakest(confidence: Sequence[float], count: int) -> tuple[int, ...]:
    """The `count` blocks of the least confidence, in the order of the grid."""
    doubtful = sorted(range(len(confidence)), key=lambda block: (confidence[block], block))
    return tuple(sorted(doubtful[:count]))


def differing_blocks(one: Image.Image, other: Image.Image, grid: Grid) -> tuple[int, ...]:
    """Blocks in which two pictures of one size differ in any pixel."""
    return tuple(np.flatnonzero(_per_block(one, other, grid).max(1)).tolist())


def block_errors(one: Image.Image, other: Image.Image, grid: Grid) -> tuple[float, ...]:
    """Root mean square difference in each block, row-major, as a share of full range, 0..1."""
    return tuple(np.sqrt((_per_block(one, other, grid) ** 2).mean(1)).tolist())


def _per_block(one: Image.Image, other: Image.Image, grid: Grid) -> np.ndarray:
    """Absolute differences, (blocks, values), 0..1."""
    if one.size != other.size:
        raise ValueError(f"got pictures of {one.size} and {other.size}, wanted one size")
    a, b = (np.asarray(picture.convert("RGB"), dtype=np.float64) for picture in (one, other))
    height, width = a.shape[:2]
    rows, columns = sides(grid)
    blocks = np.abs(a - b).reshape(rows, height // rows, columns, width // columns, 3) / 255
    return blocks.transpose(0, 2, 1, 3, 4).reshape(rows * columns, -1)
