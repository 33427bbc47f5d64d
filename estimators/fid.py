"""Frechet distance of two sets of features: features -> statistics, statistics -> number.

    python -m estimators.fid ref DATA -o stats.npz
    python -m estimators.fid calc PICTURES --ref stats.npz

The distance of two Gaussians is ``|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))``. The last trace is
taken from the eigenvalues of the symmetric ``C1^(1/2) C2 C1^(1/2)``, so no root of a non-symmetric
matrix, and no imaginary part, ever arises. It falls with N: compare only sets of equal size.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from estimators.features import EXTRACTORS, INPUT_SIZE, Extractor, extract, load_extractor
from vqgan.data import open_dataset

FloatArray = NDArray[np.float64]

FEW_PICTURES = 2048  # below it the covariance is poorly known and the distance biased upwards


def main(argv: Sequence[str] | None = None) -> int:
    """Run `ref` or `calc`; returns 0, or 2 after one line on standard error for bad input."""
    args = _parser().parse_args(argv)
    try:
        args.run(args)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


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
    with Path(path).open("wb") as stream:
        np.savez(
            stream,
            mu=stats.mean,
            sigma=stats.covariance,
            count=np.array(stats.count),
            about=np.array(about),
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


def _ref(args: argparse.Namespace) -> None:
    extractor = load_extractor(args.extractor, args.input_size)
    stats = _statistics_of(extractor, args.data, args.size)
    save_statistics(args.output, stats, _recipe(extractor, args.size))
    print(f"{args.output}: statistics of {stats.count} pictures")


def _calc(args: argparse.Namespace) -> None:
    extractor = load_extractor(args.extractor, args.input_size)
    drawn = _statistics_of(extractor, args.data, args.size)
    if args.ref.endswith(".npz"):
        reference, about = load_statistics(args.ref)
        if about != _recipe(extractor, args.size):
            raise ValueError(
                f"{args.ref} was made with {about!r}, this is {_recipe(extractor, args.size)!r}; "
                "give the same options, or make it again"
            )
    else:
        reference = _statistics_of(extractor, args.ref, args.size)
    report = {
        "fd": frechet_distance(drawn, reference),
        "pictures": drawn.count,
        "reference_pictures": reference.count,
        "recipe": _recipe(extractor, args.size),
    }
    print(json.dumps(report, indent=1))
    if min(drawn.count, reference.count) < FEW_PICTURES:
        print(
            f"note: under {FEW_PICTURES} pictures the distance is biased upwards; compare it only "
            "with distances of as many pictures",
            file=sys.stderr,
        )


def _statistics_of(extractor: Extractor, data: str, size: int | None) -> Statistics:
    samples = open_dataset(data)
    images = (samples[index].image for index in range(len(samples)))
    return statistics(extract(extractor, images, size=size)[:, extractor.frechet])


def _recipe(extractor: Extractor, size: int | None) -> str:
    shrunk = f"shrunk to {size} px" if size else "unshrunk"
    return f"{extractor.about}, pictures {shrunk}, antialiased bicubic"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m estimators.fid",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    ref = commands.add_parser("ref", help="write the statistics of a set of pictures")
    ref.add_argument("data", help="folder of pictures or shards")
    ref.add_argument("-o", "--output", required=True, help="the .npz to write")
    ref.set_defaults(run=_ref)
    calc = commands.add_parser("calc", help="the distance of a set of pictures from another")
    calc.add_argument("data", help="folder of pictures or shards")
    calc.add_argument("--ref", required=True, help="what `ref` wrote, or a folder, or shards")
    calc.set_defaults(run=_calc)
    for command in (ref, calc):
        command.add_argument(
            "--size", type=int, help="shrink the pictures to this many pixels first"
        )
        command.add_argument("--extractor", choices=EXTRACTORS, default="alexnet")
        command.add_argument("--input-size", type=int, default=INPUT_SIZE)
    return parser


if __name__ == "__main__":
    sys.exit(main())
