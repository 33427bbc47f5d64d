"""Is a score worth its decimals? Calibration, correlation, and differences with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from estimators.metrics.scores.bootstrap import RESAMPLES, interval

FloatArray = NDArray[np.float64]

BINS = 10


@dataclass(frozen=True)
class Bin:
    """One point of a calibration curve: mean score, share that was right, and of how many."""

    score: float
    right: float
    count: int


def calibration_curve(scores: ArrayLike, right: ArrayLike, bins: int = BINS) -> list[Bin]:
    """How often was right what was scored so? Scores in 0..1, in equal bins; empty ones left out.

    Raises:
        ValueError: lengths differ, nothing is there, or a score is outside 0..1.
    """
    s, r = np.ravel(scores).astype(float), np.ravel(right).astype(float)
    if len(s) != len(r) or not len(s) or s.min() < 0 or s.max() > 1:
        raise ValueError(f"got {len(s)} scores and {len(r)} answers, wanted pairs, scores in 0..1")
    place = np.minimum((s * bins).astype(int), bins - 1)
    return [
        Bin(float(s[place == b].mean()), float(r[place == b].mean()), int((place == b).sum()))
        for b in range(bins)
        if (place == b).any()
    ]


def calibration_error(curve: Sequence[Bin]) -> float:
    """Expected calibration error (Naeini et al. 2015): mean |score - right|, weighted by count."""
    total = sum(point.count for point in curve)
    return sum(abs(point.score - point.right) * point.count for point in curve) / total


def rank_correlation(a: ArrayLike, b: ArrayLike) -> float:
    """Spearman's rho, -1..1, ties sharing their rank; 0 where one side never changes.

    Raises:
        ValueError: lengths differ, or fewer than 3 pairs.
    """
    x, y = np.ravel(a).astype(float), np.ravel(b).astype(float)
    if len(x) != len(y) or len(x) < 3:
        raise ValueError(f"got {len(x)} and {len(y)} values, wanted equal numbers of 3 or more")
    x, y = _ranks(x), _ranks(y)
    if x.std() == 0 or y.std() == 0:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])


@dataclass(frozen=True)
class Gain:
    """A mean with its 95 % interval (percentile bootstrap over pictures)."""

    mean: float
    low: float
    high: float


def mean_gain(
    with_it: ArrayLike, without: ArrayLike, resamples: int = 2 * RESAMPLES, seed: int = 0
) -> Gain:
    """Mean of paired differences `with_it - without`, one pair a picture.

    Raises:
        ValueError: lengths differ, or fewer than 2 pairs.
    """
    a, b = np.ravel(with_it).astype(float), np.ravel(without).astype(float)
    if len(a) != len(b) or len(a) < 2:
        raise ValueError(f"got {len(a)} and {len(b)} values, wanted equal numbers of 2 or more")
    difference = a - b
    low, high = interval(lambda row: float(difference[row].mean()), len(a), resamples, seed)
    return Gain(float(difference.mean()), low, high)


def _ranks(values: FloatArray) -> FloatArray:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    first = np.cumsum(counts) - counts
    return np.asarray((first + (counts - 1) / 2)[place])
