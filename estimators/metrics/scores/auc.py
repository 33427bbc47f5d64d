"""Area under the ROC curve: how often a score ranks a right example above a wrong one."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def auc(right: ArrayLike, wrong: ArrayLike) -> float:
    """Chance that a drawn ``right`` score exceeds a drawn ``wrong`` one, ties counting half: 0..1.

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
