"""Frechet distance of two sets of features: features -> statistics, statistics -> number.

    python -m estimators.fid ref DATA -o stats.npz
    python -m estimators.fid calc PICTURES --ref stats.npz

The distance of two Gaussians is ``|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))``. The last trace is
taken from the eigenvalues of the symmetric ``C1^(1/2) C2 C1^(1/2)``, so no root of a non-symmetric
matrix, and no imaginary part, ever arises. It falls with N: compare only sets of equal size.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

FEW_PICTURES = 2048  # below it the covariance is poorly known and the distance biased upwards


@dataclass(frozen=True)
class Statistics:
    """Mean (F), covariance (F F), both float64, and the number of pictures they come from."""

    mean: FloatArray
    covariance: FloatArray
    count: int


def statistics(features: NDArray[np.floating]) -> Statistics:
    """Mean and unbiased covariance in float64 of features (N F), whatever the order of the rows.

    Raises:
        ValueError: not a matrix, fewer than 2 rows, or a value that is not finite.
    """
    x = np.asarray(features, dtype=np.float64)
    if x.ndim != 2 or len(x) < 2:
        raise ValueError(f"got features of shape {x.shape}, wanted (N, F) from at least 2 pictures")
    if not np.isfinite(x).all():
        raise ValueError("features hold NaN or infinity; check the pictures and the extractor")
    mean = x.mean(axis=0)
    centred = x - mean
    return Statistics(mean, centred.T @ centred / (len(x) - 1), len(x))


def frechet_distance(a: Statistics, b: Statistics) -> float:
    """Squared Frechet (2-Wasserstein) distance of the two Gaussians: 0 or more, symmetric.

    Raises:
        ValueError: the two have different numbers of features.
    """
    if a.mean.shape != b.mean.shape:
        raise ValueError(
            f"got statistics of {len(a.mean)} and of {len(b.mean)} features; "
            "make both with one extractor"
        )
    root = _root(a.covariance)
    product = root @ b.covariance @ root
    cross = np.sqrt(np.clip(np.linalg.eigvalsh((product + product.T) / 2), 0, None)).sum()
    spread = np.trace(a.covariance) + np.trace(b.covariance) - 2 * cross
    return max(0.0, float(np.square(a.mean - b.mean).sum() + spread))


def save_statistics(path: str | Path, stats: Statistics, about: str = "") -> None:
    """Write statistics as ``.npz`` under the usual names ``mu`` and ``sigma``.

    ``about`` says how the features were made; who compares must find the same words.
    """
    np.savez(
        path, mu=stats.mean, sigma=stats.covariance, count=stats.count, about=np.array(about)
    )


def load_statistics(path: str | Path) -> tuple[Statistics, str]:
    """Read what ``save_statistics`` wrote; returns the statistics and ``about``.

    Raises:
        ValueError: the file is no such archive.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            stats = Statistics(file["mu"], file["sigma"], int(file["count"]))
            return stats, str(file["about"])
    except (KeyError, OSError, ValueError) as error:
        raise ValueError(
            f"{path}: not statistics of this program ({error}); make them with "
            "`python -m estimators.fid ref`"
        ) from error


def _root(covariance: FloatArray) -> FloatArray:
    """The symmetric square root of a positive semi-definite matrix."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    return np.asarray((vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T)
