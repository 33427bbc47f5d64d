"""One set of pictures with captions, measured by every judge: the figures of tables and reports."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from estimators.metrics.command_line import Measuring
from estimators.metrics.distribution import overlap
from estimators.metrics.features import Features
from estimators.metrics.fid import Statistics, distance_change, distance_of, statistics
from estimators.metrics.perception import lpips_of_pairs, spread
from estimators.metrics.retrieval import own_first, r_precision
from estimators.metrics.sets import Listed
from estimators.metrics.trust import mean_gain
from ufc.contrastive_scorer import ContrastiveEstimator

MAX_PAIRS = 500  # of LPIPS diversity


@dataclass(frozen=True)
class Measured:
    """Figures of a set, and what each picture gave to them: to compare sets picture by picture.

    Attributes:
        figures: for tables and JSON.
        features: Frechet features, (N F).
        right: 1 where the own caption came first, a share of it for a tie, (N,).
    """

    figures: dict[str, Any]
    features: Features
    right: NDArray[np.float64]


@dataclass(frozen=True)
class Judges:
    """What pictures are measured with and against.

    Attributes:
        measuring: the features, with pictures at the size that the model draws.
        training: Frechet features of the training pictures; distances are to them.
        real: Frechet features of the captions' own pictures; precision and recall are to them.
        contrastive: ranks captions.
        perceptual: LPIPS.
    """

    measuring: Measuring
    training: Features
    real: Features
    contrastive: ContrastiveEstimator
    perceptual: Callable[[Tensor, Tensor], Tensor]

    @cached_property
    def training_statistics(self) -> Statistics:
        """Mean and covariance of the training pictures."""
        return statistics(self.training)

    def features(self, pictures: Sequence[Image.Image]) -> Features:
        """Frechet features of pictures in memory."""
        found = self.measuring.features(Listed(pictures), None)
        return found[:, self.measuring.extractor.frechet]

    def measure(self, pictures: Sequence[Image.Image], captions: Sequence[str]) -> Measured:
        """FD, precision, recall, density, coverage, R-precision and LPIPS diversity.

        `fd_interval` and `r_precision_interval` are half widths of 95 % intervals.
        """
        features = self.features(pictures)
        distance = distance_of(features, self.training_statistics)
        first = captions_first(self.contrastive, pictures, captions)
        right, width = r_precision(first)
        figures = {
            "pictures": len(pictures),
            "fd": distance.value,
            "fd_interval": distance.half_width,
            **asdict(overlap(features, self.real)),
            "r_precision": right,
            "r_precision_interval": width,
            "lpips_diversity": caption_diversity(self.perceptual, pictures, captions),
            "lpips_spread": spread(self.perceptual, pictures.__getitem__, len(pictures), 250),
        }
        return Measured(figures, features, first.double().numpy())

    def compare(self, after: Measured, before: Measured) -> dict[str, Any]:
        """Changes of FD and R-precision between two sets of the same captions, with intervals."""
        change, width = distance_change(after.features, before.features, self.training_statistics)
        gain = mean_gain(after.right, before.right)
        return {"fd": change, "fd_interval": width, "r_precision": asdict(gain)}


def captions_first(
    estimator: ContrastiveEstimator, pictures: Sequence[Image.Image], captions: Sequence[str]
) -> Tensor:
    """Does each picture's own caption come before 99 that read differently? (N,); `own_first`."""
    images, texts = estimator.embed_images(pictures), estimator.embed_texts(captions)
    return own_first(images @ texts.T, captions)


def caption_diversity(
    perceptual: Callable[[Tensor, Tensor], Tensor],
    pictures: Sequence[Image.Image],
    captions: Sequence[str],
    most: int = MAX_PAIRS,
) -> float | None:
    """Mean LPIPS between pictures of one caption; None where no caption has two."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, caption in enumerate(captions):
        groups[caption].append(index)
    pairs = [(a, b) for g in groups.values() for i, a in enumerate(g) for b in g[i + 1 :]]
    if not pairs:
        return None
    chosen = np.random.default_rng(0).permutation(len(pairs))[:most].tolist()
    found = lpips_of_pairs(
        perceptual, ((pictures[pairs[i][0]], pictures[pairs[i][1]]) for i in chosen)
    )
    return float(torch.tensor(found).mean())
