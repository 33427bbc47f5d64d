"""Area under the ROC curve: how often a score ranks a right example above a wrong one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from estimators.metrics.scores.bootstrap import RESAMPLES, interval


@dataclass(frozen=True)
class AucInterval:
    """An area with its 95 % interval (percentile bootstrap over pictures)."""

    value: float
    low: float
    high: float


def auc(right: ArrayLike, wrong: ArrayLike) -> float:
    """Chance that a ``right`` score exceeds a ``wrong`` one, ties counting half: 0..1.

    0.5 is a coin, 1 a perfect ranking, 0 a perfect one upside down. Both are sequences of finite
    numbers, of any lengths from 1 on.

    Raises:
        ValueError: a side is empty or holds NaN.
    """
    right_scores, wrong_scores = np.ravel(right).astype(float), np.ravel(wrong).astype(float)
    if not len(right_scores) or not len(wrong_scores):
        raise ValueError(
            f"got {len(right_scores)} right and {len(wrong_scores)} wrong scores, "
            "wanted at least one of each"
        )
    if np.isnan(right_scores).any() or np.isnan(wrong_scores).any():
        raise ValueError("scores hold NaN, which has no rank; drop or repair those examples")
    ranked = np.sort(wrong_scores)
    below = np.searchsorted(ranked, right_scores, side="left")
    up_to = np.searchsorted(ranked, right_scores, side="right")
    return float((below + up_to).mean() / (2 * len(ranked)))


def auc_interval(
    right: ArrayLike, wrong: ArrayLike, resamples: int = RESAMPLES, seed: int = 0
) -> AucInterval:
    """`auc` of pictures that are each scored rightly and wrongly (own and exchanged captions, say).

    A picture's two scores are resampled together.

    Raises:
        ValueError: the two sides have different lengths, or are refused by `auc`.
    """
    own, other = np.ravel(right).astype(float), np.ravel(wrong).astype(float)
    if len(own) != len(other):
        raise ValueError(f"got {len(own)} right and {len(other)} wrong scores, wanted pairs")
    value = auc(own, other)
    low, high = interval(lambda row: auc(own[row], other[row]), len(own), resamples, seed)
    return AucInterval(value, low, high)
