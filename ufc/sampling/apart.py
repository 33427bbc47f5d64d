"""Forward passes of its own for every image: it is then the same alone and in a batch, bit for bit.

A matrix product of another shape adds up in another order. In fp32 what comes of that is far below
what changes a code, in bf16 and fp16 it is not, and int8 rounds by the range of all that is
multiplied together. So where a picture has to be the same in whatever company, its canvases
(candidates, the N pictures of best of N, the branches of guidance) are run together and those of no
other image.

One image's canvases stand together, as everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ufc.sampling.canvas import Scores
from ufc.sampling.loop import Predict, Score
from ufc.sampling.token_sampling import Prediction, together


def join_predicts(rows: Sequence[Predict]) -> Predict:
    """One function for a batch, of one for each of its images, which is its image 0."""

    def predict(codes_MT: Tensor, owner_M: Tensor, ask_MT: Tensor) -> Prediction:
        parts = [
            rows[image](codes_MT[span], torch.zeros_like(owner_M[span]), ask_MT[span])
            for image, span in spans(owner_M)
            if bool(ask_MT[span].any())
        ]
        return together(parts)

    return predict


def join_scores(rows: Sequence[Score]) -> Score:
    """The same for scores."""

    def score(codes_MT: Tensor, owner_M: Tensor) -> Scores:
        return gather(
            rows[image](codes_MT[span], torch.zeros_like(owner_M[span]))
            for image, span in spans(owner_M)
        )

    return score


def one_by_one(score: Score) -> Score:
    """A score for a batch, asked for one image at a time."""

    def apart(codes_MT: Tensor, owner_M: Tensor) -> Scores:
        return gather(score(codes_MT[span], owner_M[span]) for _, span in spans(owner_M))

    return apart


def spans(owner_M: Tensor) -> Iterator[tuple[int, slice]]:
    """Each image with the place of its canvases."""
    images, counts = torch.unique_consecutive(owner_M, return_counts=True)
    start = 0
    for image, count in zip(images.tolist(), counts.tolist(), strict=True):
        yield image, slice(start, start + count)
        start += count


def gather(parts: Iterator[Scores]) -> Scores:
    """The scores of several images as those of a batch."""
    found = list(parts)
    return {name: torch.cat([part[name] for part in found]) for name in found[0]}
