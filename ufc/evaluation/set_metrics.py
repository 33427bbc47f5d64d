"""`ufc evaluate`'s first form: a set of pictures against a real one, every registered metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from estimators.metrics.base import MeasuredSet, Metric, Options, find_metrics
from estimators.metrics.extractors.features import Features, fitted
from estimators.metrics.extractors.measuring import Measuring
from estimators.metrics.fid import (
    Statistics,
    check_output,
    count_warning,
    save_statistics,
    statistics,
    statistics_for,
)
from estimators.metrics.sets.picture_set import PictureSet

COUNTS = ("pictures", "real_pictures", "seed")

Metrics = Mapping[str, Metric]


def chosen_metrics(names: Sequence[str]) -> dict[str, Metric]:
    """The metrics of these names, or the usual ones where none is named."""
    every = find_metrics()
    return {n: metric for n, metric in every.items() if (n in names if names else metric.usual)}


def needs_of(metrics: Metrics) -> set[str]:
    """All that these metrics are measured from."""
    return {need for metric in metrics.values() for need in metric.needs}


def measure_set(
    metrics: Metrics,
    fake: PictureSet,
    real: PictureSet | Path | None,
    measuring: Measuring,
    options: Options,
    save_stats: str | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """The figures of these metrics, and everything needed to repeat them.

    `real` is a set, or a file of statistics, which serves FID alone; the statistics of a set are
    written to `save_stats`. `seed` is of the subsets and pairs that are chosen.

    Raises:
        ValueError: a metric that needs a real set has none, or a set is too small.
    """
    _check(metrics, fake, real, measuring, options, save_stats)
    judges = {name: metric.load(options) for name, metric in metrics.items()}
    reference = None
    if real is not None and ("real" in needs_of(metrics) or save_stats):
        reference = _reference(real, measuring)
        if save_stats and not isinstance(reference, Statistics):
            save_statistics(save_stats, statistics(reference), measuring.recipe)
    given = _given(needs_of(metrics), fake, reference, measuring, options, seed)
    found: dict[str, Any] = {"pictures": len(fake.samples)}
    if "real" in needs_of(metrics) and reference is not None:
        known = reference.count if isinstance(reference, Statistics) else len(reference)
        found["real_pictures"] = known or None  # other programs' statistics do not say
    for name, metric in metrics.items():
        found |= metric.measure(given, judges[name])
    return found | {
        "recipe": measuring.recipe,
        "extractor": measuring.extractor.name,
        "extractor_weights": measuring.extractor.weights,
        "resize": measuring.mode,
        "format": fake.formats,
        "real_format": real.formats if isinstance(real, PictureSet) else None,
        "seed": seed,
        "sampler": fake.recipe,
        "left_out": list(fake.notes),
        "real_left_out": list(real.notes) if isinstance(real, PictureSet) else [],
    }


def warning(found: dict[str, Any]) -> str:
    """A line for sets too small for their FID to stand by itself, else nothing."""
    counts = [found[name] for name in ("pictures", "real_pictures") if found.get(name)]
    return count_warning(min(counts)) if "fid" in found else ""


def _given(
    needs: set[str],
    fake: PictureSet,
    reference: Features | Statistics | None,
    measuring: Measuring,
    options: Options,
    seed: int,
) -> MeasuredSet:
    """Only what is needed is taken of the pictures."""
    own = None
    if needs & {"features", "real", "logits"}:
        own = measuring.features(fake.samples, fake.content)
    pictures, captions = [], None
    if needs & {"pictures", "captions"}:
        pictures = fake.pictures()
        if measuring.size is not None:
            pictures = [fitted(each, measuring.size, measuring.fit) for each in pictures]
        if fake.has_captions(options.caption_column):
            captions = fake.captions(options.caption_column)
    extractor = measuring.extractor
    return MeasuredSet(
        features=None if own is None else own[:, extractor.frechet],
        real=None if isinstance(reference, Statistics) else reference,
        statistics=reference if isinstance(reference, Statistics) else None,
        logits=own[:, extractor.logits] if own is not None and extractor.logits else None,
        pictures=pictures,
        captions=captions,
        seed=seed,
    )


def _check(
    metrics: Metrics,
    fake: PictureSet,
    real: PictureSet | Path | None,
    measuring: Measuring,
    options: Options,
    save_stats: str | None,
) -> None:
    """Find what cannot be measured before anything is."""
    if len(fake.samples) < 2:
        raise ValueError(f"got {len(fake.samples)} picture, wanted 2 or more: it has no spread")
    against = {name: metric for name, metric in metrics.items() if "real" in metric.needs}
    if against and real is None:
        raise ValueError(f"{', '.join(against)} compare with real pictures: give them by --real")
    if isinstance(real, Path) and not all(m.from_statistics for m in against.values()):
        raise ValueError(
            f"{real} is statistics, which only FID can use; for {', '.join(against)} give the "
            "pictures by --real"
        )
    if "logits" in needs_of(metrics) and measuring.extractor.logits is None:
        raise ValueError(
            f"the extractor {measuring.extractor.name} has no classes, and the Inception score "
            "needs them; choose inception, efficientnet-lite0, alexnet or vgg16"
        )
    if "captions" in needs_of(metrics):
        fake.captions(options.caption_column)
    if save_stats is not None:
        if not isinstance(real, PictureSet):
            raise ValueError("--save-stats writes those of real pictures: give them by --real")
        check_output(save_stats, "--save-stats")


def _reference(real: PictureSet | Path, measuring: Measuring) -> Features | Statistics:
    if isinstance(real, PictureSet):
        return measuring.frechet_features(real)
    return statistics_for(measuring, real)


def _number_of_real(found: dict[str, Any]) -> object:
    return (found["real_pictures"] or "an unknown number of") if "real_pictures" in found else "no"


def table(found: dict[str, Any]) -> str:
    """A line a figure, with its 95 % interval or spread, and how they were taken."""
    lines = [f"{found['pictures']} pictures, {_number_of_real(found)} real ones"]
    for name, value in found.items():
        beside = name.endswith(("_interval_95", "_std"))
        if isinstance(value, int | float) and not beside and name not in COUNTS:
            line = f"{name:18}{value:10.4f}"
            if found.get(f"{name}_interval_95") is not None:
                line += f"  ± {found[f'{name}_interval_95']:.4f}"
            if f"{name}_std" in found:
                line += f"  (spread over subsets {found[f'{name}_std']:.4f})"
            lines.append(line)
    lines.append(f"{found['recipe']}; {found['format']}; seed {found['seed']}")
    if found["sampler"]:
        settings = ", ".join(f"{name} {value}" for name, value in found["sampler"].items())
        lines.append(f"generated with {settings}")
    return "\n".join(lines)
