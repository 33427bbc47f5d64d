"""Judges of pictures beside the model's own scores: what canvases may be chosen by, too.

Shapes: M canvases, B images, T cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ufc.sampling.canvas import Scores
from ufc.sampling.loop import Score
from ufc_base.images import to_pil

# Scores of pictures under their prompts, 0..1, one each: a list, an array or a tensor.
Scorer = Callable[[Sequence[Image.Image], Sequence[str]], Any]


@dataclass(frozen=True)
class Reranker:
    """A judge of the pictures of a batch.

    Attributes:
        name: of its score.
        weight: its share of the compliance that is chosen by, 0..1; at 0 it chooses nothing, and
            scores finished canvases alone.
        score: pixels (M, 3, H, W) in -1..1 and their owners (M,), both on the CPU, to 0..1, (M,).
        can_judge_B: the images that it can judge; others keep the model's own compliance.

    Raises:
        ValueError: another weight.
    """

    name: str
    weight: float
    score: Callable[[Tensor, Tensor], Tensor]
    can_judge_B: Tensor

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise ValueError(f"{self.name}_weight is {self.weight}, wanted 0 to 1")


def rerank(
    score: Score, rerankers: Sequence[Reranker], decode: Callable[[Tensor], Tensor]
) -> Score:
    """A score with the rerankers' shares in its compliance, and with their own scores by name.

    Those of weight 0 are left to `judge_finished`. `decode` makes pixels (M, 3, H, W) of codes
    (M, T): judges look at pictures. What a judge cannot judge has NaN for its score.
    """
    choosing = [judge for judge in rerankers if judge.weight]
    if not choosing:
        return score

    def joined(codes_MT: Tensor, owner_M: Tensor) -> Scores:
        scores = score(codes_MT, owner_M)
        own_M, own_scores = scores["compliance"], scores_of(choosing, decode(codes_MT), owner_M)
        blended_M = own_M
        for judge in choosing:
            found_M = own_scores[judge.name].to(own_M)
            more_M = torch.where(found_M.isnan(), 0.0, found_M - own_M)
            blended_M = blended_M + judge.weight * more_M
        return scores | {"compliance": blended_M} | own_scores

    return joined


def judge_finished(
    rerankers: Sequence[Reranker], decode: Callable[[Tensor], Tensor]
) -> Score | None:
    """The scores by those of weight 0, who choose nothing; None where all choose."""
    telling = [judge for judge in rerankers if not judge.weight]
    if not telling:
        return None
    return lambda codes_MT, owner_M: scores_of(telling, decode(codes_MT), owner_M)


def scores_of(rerankers: Sequence[Reranker], pixels_MCHW: Tensor, owner_M: Tensor) -> Scores:
    """Their scores by name, (M,) each on the CPU; NaN for what one cannot judge."""
    owners = owner_M.cpu()
    return {
        judge.name: judge.score(pixels_MCHW, owners)
        .float()
        .cpu()
        .masked_fill(~judge.can_judge_B[owners], torch.nan)
        for judge in rerankers
    }


def make_reranker(
    name: str,
    scorer: Scorer,
    prompts: Sequence[str | None],
    weight: float,
    can_judge: Sequence[bool] | None = None,
) -> Reranker:
    """Any scorer of pictures as a reranker; it is given "" for an image without words.

    `can_judge` says which images it can judge; all if left out.
    """

    def score(pixels_MCHW: Tensor, owner_M: Tensor) -> Tensor:
        pictures, texts = to_pil(pixels_MCHW), [prompts[row] or "" for row in owner_M.tolist()]
        return checked(name, scorer(pictures, texts), len(pictures))

    can_judge_B = torch.tensor([True] * len(prompts) if can_judge is None else list(can_judge))
    return Reranker(name, weight, score, can_judge_B)


def checked(name: str, found: Any, count: int) -> Tensor:
    """What a scorer returned as a tensor, (M,).

    Raises:
        ValueError: it is not a number from 0 to 1 for each picture.
    """
    wanted = f"wanted {count} numbers from 0 to 1, one for each picture"
    try:
        scores_M = torch.as_tensor(found).detach().float().cpu().flatten()
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{name} returned a {type(found).__name__}, {wanted}") from None
    if len(scores_M) != count:
        raise ValueError(f"{name} returned {len(scores_M)} scores, {wanted}")
    wrong = scores_M[~((scores_M >= 0) & (scores_M <= 1))]
    if len(wrong):
        raise ValueError(f"{name} returned {float(wrong[0]):g}, {wanted}")
    return scores_M
