"""Is what was requested what is seen? Linear probes on deep features, and a Frechet distance.

The probes learn attributes (product type, colour, gender) from real training pictures at their own
size, so that what a small picture lacks counts against it; or, if asked, shrunk to the size of the
pictures judged. The real pictures of the same captions are judged beside the generated ones:
theirs are the mark, and `share` is the generated score over theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from estimators.metrics.extractors import Extractor
from estimators.metrics.extractors.features import Features
from estimators.metrics.fid import Statistics, frechet_distance, statistics
from estimators.metrics.probes.linear import L2, Probe, Scaler, fit_probe, fit_scaler, predict
from estimators.metrics.sets.content import key_hash
from ufc_base.data.names import DataError
from ufc_base.files import write_atomically
from ufc_base.formats.archives import number_of, read_arrays

ATTRIBUTES = ("type", "colour", "gender")
NATIVE = 0  # stands for pictures at the size they are stored in


@dataclass(frozen=True)
class Judge:
    """Probes and the training pictures' statistics, all that is needed to judge pictures.

    Attributes:
        about: the extractor's, so that no other is used with these probes.
        size: side in pixels that all pictures are shrunk to before they are judged, or `NATIVE`.
        scaler: of the features.
        probes: attribute -> probe.
        references: `size` and `NATIVE` -> statistics of the training pictures' features.
    """

    about: str
    size: int
    scaler: Scaler
    probes: dict[str, Probe]
    references: dict[int, Statistics]


@dataclass(frozen=True)
class Scores:
    """What is seen in a set of pictures.

    Attributes:
        accuracy: attribute -> share of pictures in which it is what the record says, 0..1.
        fd: Frechet distance to the training pictures at the judge's size.
        fd_native: the same to the training pictures unshrunk; it counts blur as a difference.
        seen: attribute -> the class seen in each picture.
        judged: attribute -> pictures whose record has it.
    """

    accuracy: dict[str, float]
    fd: float
    fd_native: float
    seen: dict[str, list[str]]
    judged: dict[str, int]


def fit_judge(
    extractor: Extractor,
    features: Mapping[int, Features],
    records: Sequence[dict[str, Any]],
    attributes: Sequence[str] = ATTRIBUTES,
    *,
    size: int = NATIVE,
    l2: float = L2,
) -> Judge:
    """Fit a probe per attribute on pictures of `size`, and take statistics.

    Args:
        extractor: what the features were made with.
        features: pixel size -> features (N F) of the same N pictures; `size` and `NATIVE` must be
            there.
        records: the N records; a picture whose record lacks an attribute is left out of its probe.
        attributes: names of the record fields.
        size: what the probes learn from.
        l2: see `fit_probe`.

    Raises:
        ValueError: an attribute that no record has, or that is the same in all.
    """
    scaler = fit_scaler(features[size])
    scaled = scaler(features[size])
    probes = {}
    for name in attributes:
        rows = [row for row, record in enumerate(records) if record.get(name)]
        if not rows:
            raise ValueError(f"no record has the attribute {name!r}; choose others by --attribute")
        probes[name] = fit_probe(scaled[rows], [str(records[row][name]) for row in rows], l2)
    references = {size: statistics(f[:, extractor.frechet]) for size, f in features.items()}
    return Judge(extractor.about, size, scaler, probes, references)


def score(
    judge: Judge, extractor: Extractor, features: Features, records: Sequence[dict[str, Any]]
) -> Scores:
    """Judge features (N F) of pictures, taken at the judge's size, against the N records requested.

    A class that the training data does not have counts as not seen; a record that lacks the
    attribute is left out.

    Raises:
        ValueError: no record has an attribute.
    """
    scaled = judge.scaler(features)
    seen = {name: predict(probe, scaled) for name, probe in judge.probes.items()}
    right = {name: right_of(name, classes, records) for name, classes in seen.items()}
    accuracy = {name: float(np.mean(found)) for name, found in right.items()}
    judged = {name: len(found) for name, found in right.items()}
    own = statistics(features[:, extractor.frechet])
    fd, native = (frechet_distance(own, judge.references[size]) for size in (judge.size, NATIVE))
    return Scores(accuracy, fd, native, seen, judged)


def compare(generated: Scores, real: Scores) -> dict[str, Any]:
    """A report for JSON: both scores, one over the other, and the standard error of an accuracy."""

    def row(scores: Scores) -> dict[str, float]:
        return {**scores.accuracy, "fd": scores.fd, "fd_native": scores.fd_native}

    share = {
        name: generated.accuracy[name] / max(real.accuracy[name], 1e-9)
        for name in generated.accuracy
    }
    error = {
        name: (p * (1 - p) / generated.judged[name]) ** 0.5
        for name, p in generated.accuracy.items()
    }
    return {
        "drawn": row(generated),
        "real": row(real),
        "share": share,
        "standard_error": error,
        "fd_above_real": generated.fd - real.fd,
        "fd_native_above_real": generated.fd_native - real.fd_native,
    }


def save_judge(path: str | Path, judge: Judge) -> None:
    """Write a judge as one `.npz`, without pickles."""
    write_atomically(Path(path), lambda stream: write_judge(stream, judge))


def write_judge(stream: IO[bytes], judge: Judge) -> None:
    """`save_judge` into an open file."""
    arrays: dict[str, Any] = {
        "about": np.array(judge.about),
        "size": np.array(judge.size),
        "attributes": np.array(list(judge.probes)),
        "mean": judge.scaler.mean,
        "scale": judge.scaler.scale,
        "references": np.array(list(judge.references)),
    }
    for name, probe in judge.probes.items():
        arrays[f"classes/{name}"] = np.array(probe.classes)
        arrays[f"weight/{name}"], arrays[f"bias/{name}"] = probe.weight, probe.bias
    for size, stats in judge.references.items():
        arrays[f"mu/{size}"], arrays[f"sigma/{size}"] = stats.mean, stats.covariance
        arrays[f"count/{size}"] = np.array(stats.count)
    np.savez(stream, **arrays)


def load_judge(path: str | Path) -> Judge:
    """Read what `save_judge` wrote.

    Raises:
        ValueError: the file is missing or no such archive.
    """
    try:
        file = read_arrays(path)
        names, sizes = file["attributes"].tolist(), file["references"].tolist()
        probes = {
            n: Probe(tuple(file[f"classes/{n}"].tolist()), file[f"weight/{n}"], file[f"bias/{n}"])
            for n in names
        }
        references = {
            s: Statistics(file[f"mu/{s}"], file[f"sigma/{s}"], number_of(file, f"count/{s}"))
            for s in sizes
        }
        scaler = Scaler(file["mean"], file["scale"])
        return Judge(str(file["about"]), number_of(file, "size"), scaler, probes, references)
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(
            f"{path}: not probes of this program ({error!s:.200}); make them with "
            "`python -m estimators.metrics.probes fit`"
        ) from error


def kept_judge(
    folder: str | Path | None, key: Mapping[str, object], fit: Callable[[], Judge]
) -> Judge:
    """`fit()`, or what it gave for an equal `key` before, kept in `folder` (None: nowhere).

    The key must name all that the probes depend on, by content.
    """
    if folder is None:
        return fit()
    path = Path(folder) / f"judge-{key_hash(key)}.npz"
    if path.is_file():
        return load_judge(path)
    judge = fit()
    write_atomically(path, lambda stream: write_judge(stream, judge))
    return judge


def right_of(name: str, seen: Sequence[str], records: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Of each picture whose record has the attribute, whether it is what was seen."""
    right = [s == str(r[name]) for s, r in zip(seen, records, strict=True) if r.get(name)]
    if not right:
        raise ValueError(f"no record of the pictures judged has the attribute {name!r}")
    return right
