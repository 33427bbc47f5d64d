"""How sure a figure of some pictures is: percentile bootstrap over the pictures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000


def interval(
    figure: Callable[[NDArray[np.int64]], float],
    count: int,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, float]:
    """Ends of the 95 % interval of a figure of `count` pictures.

    `figure` is asked for rows of pictures (`count` numbers, 0..count-1, some more than once), so
    whatever belongs to one picture is resampled together.
    """
    rows = np.random.default_rng(seed).integers(count, size=(resamples, count))
    low, high = np.percentile([figure(row) for row in rows], [2.5, 97.5])
    return float(low), float(high)
