"""Frechet distance of two sets of features: features -> statistics, statistics -> number.

The distance of two Gaussians is ``|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))``. The last trace is
taken from the eigenvalues of the symmetric ``C1^(1/2) C2 C1^(1/2)``, so no root of a non-symmetric
matrix, and no imaginary part, ever arises. It falls with N: compare only sets of equal size.
`python -m estimators.fid` is the distance alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from estimators.metrics.base import MeasuredSet, Metric, Need, register_metric
from estimators.metrics.extractors.features import Features
from estimators.metrics.extractors.measuring import Measuring
from ufc_base.data.names import DataError
from ufc_base.files import write_atomically
from ufc_base.formats.archives import number_of, read_arrays
from ufc_base.formats.pickled_arrays import read_pickled

FloatArray = NDArray[np.float64]

FEW_PICTURES = 2048  # below it the covariance is poorly known and the distance biased upwards
MANY_PICTURES = 10_000  # from here on the distance is steady enough to stand without an interval
JACKKNIFE_GROUPS = 20
SUFFIXES = (".npz", ".pt")  # of statistics
Z_95 = 1.96  # standard errors on either side of a 95 % interval


@register_metric
class FrechetDistance(Metric):
    name = "fid"
    help = "Frechet distance, with a 95 % interval under 10,000 pictures."
    source = "own, float64; agrees with torchmetrics"
    needs: ClassVar[frozenset[Need]] = frozenset({"features", "real"})
    higher_is_better = False
    usual = True
    from_statistics = True

    def measure(self, given: MeasuredSet, judge: Any) -> dict[str, Any]:
        reference = given.real if given.statistics is None else given.statistics
        assert given.features is not None and reference is not None
        distance = distance_of(given.features, reference)
        return {"fid": distance.value, "fid_interval_95": distance.half_width}


@dataclass(frozen=True)
class Statistics:
    """Mean (F), covariance (F F), both float64, and the number of pictures they come from.

    The number is 0 where a file does not say it, as those of other programs.
    """

    mean: FloatArray
    covariance: FloatArray
    count: int

    @cached_property
    def root(self) -> FloatArray:
        """The symmetric square root of the covariance; an interval asks for it many times."""
        values, vectors = np.linalg.eigh((self.covariance + self.covariance.T) / 2)
        return np.asarray((vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T)


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
    product = a.root @ b.covariance @ a.root
    cross = np.sqrt(np.clip(np.linalg.eigvalsh((product + product.T) / 2), 0, None)).sum()
    spread = np.trace(a.covariance) + np.trace(b.covariance) - 2 * cross
    return max(0.0, float(np.square(a.mean - b.mean).sum() + spread))


@dataclass(frozen=True)
class Distance:
    """A Frechet distance with the half width of its 95 % interval, None where there is none.

    There is none for sets of 10,000 and more, and of fewer than 4 pictures.
    """

    value: float
    half_width: float | None
    count: int
    reference_count: int


def distance_of(
    features: Features, reference: Features | Statistics, groups: int = JACKKNIFE_GROUPS
) -> Distance:
    """The distance of a set from a reference, with an interval where either is small.

    The interval is the delete-a-group jackknife's (Quenouille, Tukey): pictures are left out a
    group at a time, from either set of which the features are known; mere statistics are taken as
    they are. It tells how much the figure would move with other pictures of the same kind; the bias
    of small sets it does not remove.

    Raises:
        ValueError: see `statistics` and `frechet_distance`.
    """
    own = statistics(features)
    other = reference if isinstance(reference, Statistics) else statistics(reference)
    value = frechet_distance(own, other)
    variance = 0.0
    if own.count < MANY_PICTURES:
        variance += _jackknife(features, other, groups)
    if not isinstance(reference, Statistics) and other.count < MANY_PICTURES:
        variance += _jackknife(reference, own, groups)
    known = variance > 0
    return Distance(value, Z_95 * variance**0.5 if known else None, own.count, other.count)


def distance_change(
    features: Features, before: Features, reference: Statistics, groups: int = JACKKNIFE_GROUPS
) -> tuple[float, float]:
    """How much farther `features` are than `before`, and the half width of its 95 % interval.

    Row i of both belongs to one caption: both leave out the same rows, so that what they share
    cancels. Negative is nearer.

    Raises:
        ValueError: different numbers of pictures.
    """
    if len(features) != len(before):
        raise ValueError(f"got {len(features)} and {len(before)} pictures, wanted pairs")

    def change(kept: NDArray[np.bool_]) -> float:
        after, first = statistics(features[kept]), statistics(before[kept])
        return frechet_distance(reference, after) - frechet_distance(reference, first)

    value = change(np.ones(len(features), dtype=bool))
    return value, Z_95 * _left_out(change, len(features), groups) ** 0.5


def _jackknife(features: Features, fixed: Statistics, groups: int) -> float:
    """Variance of the distance as groups of one set are left out; 0 if it is too small to tell."""
    return _left_out(
        lambda kept: frechet_distance(fixed, statistics(features[kept])), len(features), groups
    )


def _left_out(figure: Callable[[NDArray[np.bool_]], float], count: int, groups: int) -> float:
    """Delete-a-group jackknife variance of a figure of `count` pictures, 0 for too few."""
    groups = min(groups, count // 2)
    if groups < 2:
        return 0.0
    place = np.random.default_rng(0).permutation(count) % groups
    return float((groups - 1) * np.var([figure(place != group) for group in range(groups)]))


def is_statistics(path: str | Path) -> bool:
    """Whether a name is that of a file of statistics."""
    return str(path).endswith(SUFFIXES)


def check_output(path: str | Path, flag: str) -> None:
    """Raise `ValueError` for a file of statistics that could not be written in the end."""
    if not is_statistics(path) or not Path(path).resolve().parent.is_dir():
        wanted = " or ".join(SUFFIXES)
        raise ValueError(f"{flag} {path}: wanted a name in {wanted}, in a folder that exists")


def save_statistics(path: str | Path, stats: Statistics, about: str = "") -> None:
    """Write statistics under the usual names ``mu`` and ``sigma``.

    As ``.npz`` pytorch-fid and clean-fid read them, as ``.pt`` torch-fidelity (from its cache).
    ``about`` says how the features were made; who compares must find the same words.
    """
    arrays: dict[str, Any] = {"mu": stats.mean, "sigma": stats.covariance}
    arrays |= {"count": stats.count, "about": about}
    if str(path).endswith(".pt"):
        write_atomically(Path(path), lambda stream: torch.save(arrays, stream))
    else:
        write_atomically(Path(path), lambda stream: np.savez(stream, **arrays))


def load_statistics(path: str | Path) -> tuple[Statistics, str]:
    """Read what ``save_statistics`` wrote, or another program; returns it and ``about``.

    Others are pytorch-fid and clean-fid (``.npz``) and torch-fidelity (``.pt``).

    Those of others do not say how they were made: ``about`` is then empty.

    Raises:
        ValueError: the file is no such archive.
    """
    try:
        file = read_pickled(path) if str(path).endswith(".pt") else read_arrays(path)
        mean, covariance = (np.asarray(file[name], np.float64) for name in ("mu", "sigma"))
        count = number_of(file, "count", 0)
        about = str(file["about"]) if "about" in file else ""
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(
            f"{path}: no statistics of pictures ({error!s:.200}); wanted the arrays mu and sigma, "
            "as pytorch-fid, clean-fid and torch-fidelity write them, or "
            "`python -m estimators.fid ref`"
        ) from error
    square = covariance.shape == (mean.size, mean.size)
    finite = np.isfinite(covariance).all() and np.isfinite(mean).all()
    if mean.ndim != 1 or not square or not finite:
        raise DataError(
            f"{path}: mu has shape {mean.shape} and sigma {covariance.shape}, wanted (F) and "
            "(F, F), finite"
        )
    return Statistics(mean, covariance, count), about


def statistics_for(measuring: Measuring, path: str | Path) -> Statistics:
    """Statistics of a file whose features were made as `measuring` makes them.

    A file of another program does not say how: it is taken for Inception's if it has as
    many features, and resized as --mode says.

    Raises:
        ValueError: they were made otherwise.
    """
    stats, about = load_statistics(path)
    recipe, extractor = measuring.recipe, measuring.extractor
    if not about:
        used = extractor.frechet.stop - extractor.frechet.start
        if extractor.name != "inception" or len(stats.mean) != used:
            raise ValueError(
                f"{path} does not say how its {len(stats.mean)} features were made, as files of "
                f"other programs do not; those are Inception's, 2048 of them, and this is "
                f"{extractor.name} with {used}: give --extractor inception, and --mode clean for "
                "clean-fid's, legacy for others"
            )
        return stats
    if about != recipe:
        raise ValueError(
            f"{path} was made with {about!r}, this is {recipe!r}; give the same options, or make "
            "it again"
        )
    return stats


def count_warning(count: int, few: int = FEW_PICTURES) -> str:
    """A line for a set too small for its Frechet distance to stand by itself, else nothing."""
    if count >= few:
        return ""
    return (
        f"note: under {few} pictures the distance is biased upwards; compare it only "
        "with distances of as many pictures"
    )
