"""One set of pictures with captions, measured by every judge: the figures of tables and reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from estimators.metrics.base import MeasuredSet, Metric, Options, find_metrics
from estimators.metrics.extractors.features import Features
from estimators.metrics.extractors.measuring import Measuring
from estimators.metrics.fid import Statistics, distance_change, statistics
from estimators.metrics.r_precision import captions_first
from estimators.metrics.scores.trust import mean_gain
from estimators.metrics.sets.picture_set import Listed
from ufc.contrastive_scorer import ContrastiveEstimator

PAIRS = 250  # of LPIPS between any two pictures


def report_name(name: str) -> str:
    """What reports and the ablation call a figure: their distance is FD, of any extractor."""
    name = name.removesuffix("_95")
    return f"fd{name.removeprefix('fid')}" if name.partition("_")[0] == "fid" else name


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
        measuring: the features, with pictures at the size that the model generates.
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

    @cached_property
    def metrics(self) -> dict[str, tuple[Metric, Any]]:
        """The metrics that reports have, each with what it judges with."""
        options = Options(contrastive=lambda: self.contrastive, perceptual=self.perceptual)
        reported = {n: metric for n, metric in find_metrics().items() if metric.in_reports}
        return {name: (metric, metric.load(options)) for name, metric in reported.items()}

    def measure(self, pictures: Sequence[Image.Image], captions: Sequence[str]) -> Measured:
        """Every metric that reports have; distances are to the training pictures.

        What ends in `_interval` is the half width of a 95 % interval.
        """
        features = self.features(pictures)
        given = MeasuredSet(
            features=features,
            real=self.real,
            statistics=self.training_statistics,
            pictures=pictures,
            captions=captions,
            pairs=PAIRS,
        )
        found: dict[str, Any] = {}
        for metric, judge in self.metrics.values():
            found |= metric.measure(given, judge)
        figures = {report_name(n): value for n, value in found.items() if type(value) is not str}
        first = captions_first(self.contrastive, pictures, captions)
        figures = {"pictures": len(pictures)} | figures
        return Measured(figures, features, first.double().numpy())

    def compare(self, after: Measured, before: Measured) -> dict[str, Any]:
        """Changes of FD and R-precision between two sets of the same captions, with intervals."""
        change, width = distance_change(after.features, before.features, self.training_statistics)
        gain = mean_gain(after.right, before.right)
        return {"fd": change, "fd_interval": width, "r_precision": asdict(gain)}
