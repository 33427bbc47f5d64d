"""`ufc evaluate`'s first form: a set of pictures against a real one, every figure on demand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from estimators.metrics.clip import ClipScorer, load_chinese, load_english
from estimators.metrics.command_line import Measuring, count_warning
from estimators.metrics.distribution import inception_score, kernel_distance, overlap
from estimators.metrics.features import Features
from estimators.metrics.fid import (
    FEW_PICTURES,
    Statistics,
    distance_of,
    save_statistics,
    statistics,
    statistics_for,
)
from estimators.metrics.perception import spread
from estimators.metrics.retrieval import r_precision
from estimators.metrics.sets import PictureSet
from ufc.contrastive_scorer import ContrastiveEstimator
from ufc.evaluation.judges import caption_diversity, captions_first
from ufc_base.images import fit_square
from vqgan.perceptual import lpips_model

FIGURES = ("fid", "kid", "isc", "prc", "lpips", "r_precision", "clip_score")
COUNTS = ("pictures", "real_pictures", "seed")
USUAL = AGAINST = ("fid", "kid", "prc")  # taken where none is asked for; these need real pictures


@dataclass(frozen=True)
class Options:
    """What to measure with.

    Attributes:
        caption_column: `text` or `text_zh`.
        contrastive: the estimator that ranks captions.
        clip_model, clip_checkpoint: open_clip's for English captions, Chinese-CLIP's for `text_zh`.
        save_stats: where to write the real set's statistics.
        seed: of the subsets and pairs that are drawn.
    """

    caption_column: str = "text"
    contrastive: str = "fashion-64-contrastive"
    clip_model: str | None = None
    clip_checkpoint: str | None = None
    save_stats: str | None = None
    seed: int = 0


def figures(
    wanted: tuple[str, ...],
    fake: PictureSet,
    real: PictureSet | Path | None,
    measuring: Measuring,
    options: Options,
) -> dict[str, Any]:
    """The figures asked for, and everything needed to repeat them.

    `real` is a set, or a file of statistics, which serves FID alone.

    Raises:
        ValueError: a figure that needs a real set has none, or a set is too small.
    """
    _check(wanted, fake, real, measuring, options)
    judges = {name: load(options) for name, load in _JUDGES.items() if name in wanted}
    against = tuple(name for name in AGAINST if name in wanted)
    found: dict[str, Any] = {"pictures": len(fake.samples)}
    if real is not None and (against or options.save_stats):
        reference = _reference(real, measuring)
        if options.save_stats and not isinstance(reference, Statistics):
            save_statistics(options.save_stats, statistics(reference), measuring.recipe)
    if against or "isc" in wanted:
        own = measuring.features(fake.samples, fake.content)
        if against:
            used = own[:, measuring.extractor.frechet]
            found |= _against(against, used, reference, options.seed)
        if "isc" in wanted:
            score, width = inception_score(own[:, measuring.extractor.logits])
            found |= {"inception_score": score, "inception_score_std": width}
    if judges:
        pictures = fake.pictures()
        if measuring.size is not None:
            pictures = [fit_square(picture, measuring.size) for picture in pictures]
        found |= _with_pictures(judges, pictures, fake, options)
    return found | {
        "recipe": measuring.recipe,
        "extractor": measuring.extractor.name,
        "extractor_weights": measuring.extractor.weights,
        "resize": measuring.mode,
        "format": fake.formats,
        "real_format": real.formats if isinstance(real, PictureSet) else None,
        "seed": options.seed,
        "sampler": fake.recipe,
        "left_out": list(fake.notes),
        "real_left_out": list(real.notes) if isinstance(real, PictureSet) else [],
    }


def warning(found: dict[str, Any]) -> str:
    """A line for sets too small for their FID to stand by itself, else nothing."""
    counts = [found[name] for name in ("pictures", "real_pictures") if found.get(name)]
    return count_warning(min(counts), FEW_PICTURES) if "fid" in found else ""


def _check(
    wanted: tuple[str, ...],
    fake: PictureSet,
    real: PictureSet | Path | None,
    measuring: Measuring,
    options: Options,
) -> None:
    """Find what cannot be measured before anything is."""
    if len(fake.samples) < 2:
        raise ValueError(f"got {len(fake.samples)} picture, wanted 2 or more: it has no spread")
    against = [name for name in AGAINST if name in wanted]
    if against and real is None:
        raise ValueError(f"{', '.join(against)} compare with real pictures: give them by --real")
    if isinstance(real, Path) and set(against) - {"fid"}:
        raise ValueError(
            f"{real} is statistics, which only FID can use; for {', '.join(against)} give the "
            "pictures by --real"
        )
    if "isc" in wanted and measuring.extractor.logits is None:
        raise ValueError(
            f"the extractor {measuring.extractor.name} has no classes, and the Inception score "
            "needs them; choose inception, efficientnet-lite0, alexnet or vgg16"
        )
    if {"r_precision", "clip_score"} & set(wanted):
        fake.captions(options.caption_column)
    if options.save_stats is not None:
        path = Path(options.save_stats)
        if not isinstance(real, PictureSet):
            raise ValueError("--save-stats writes those of real pictures: give them by --real")
        if path.suffix != ".npz" or not path.resolve().parent.is_dir():
            raise ValueError(
                f"--save-stats {path}: wanted a name ending in .npz, in a folder that exists"
            )


def _reference(real: PictureSet | Path, measuring: Measuring) -> Features | Statistics:
    if isinstance(real, PictureSet):
        return measuring.frechet_features(real)
    return statistics_for(measuring, real)


def _against(
    wanted: tuple[str, ...], used: Features, reference: Features | Statistics, seed: int
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "real_pictures": (reference.count or None)
        if isinstance(reference, Statistics)
        else len(reference)
    }
    if "fid" in wanted:
        distance = distance_of(used, reference)
        found |= {"fid": distance.value, "fid_interval_95": distance.half_width}
    if isinstance(reference, Statistics):
        return found
    if "kid" in wanted:
        value, width = kernel_distance(used, reference, seed)
        found |= {"kid": value, "kid_std": width}
    if "prc" in wanted:
        found |= asdict(overlap(used, reference))
    return found


def _load_clip(options: Options) -> ClipScorer:
    load = load_chinese if options.caption_column == "text_zh" else load_english
    named = {} if options.clip_model is None else {"model": options.clip_model}
    return load(**named, checkpoint=options.clip_checkpoint)


# What looks at pictures themselves, loaded before anything is measured: it may not be there.
_JUDGES: dict[str, Callable[[Options], Any]] = {
    "lpips": lambda options: lpips_model("alex"),
    "r_precision": lambda options: ContrastiveEstimator.from_pretrained(options.contrastive),
    "clip_score": _load_clip,
}


def _with_pictures(
    judges: dict[str, Any], pictures: list[Image.Image], fake: PictureSet, options: Options
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if perceptual := judges.get("lpips"):
        found["lpips_spread"] = spread(
            perceptual, pictures.__getitem__, len(pictures), seed=options.seed
        )
        if all(fake.samples.record(i).get(options.caption_column) for i in range(len(pictures))):
            texts = fake.captions(options.caption_column)
            found["lpips_diversity"] = caption_diversity(perceptual, pictures, texts)
    if estimator := judges.get("r_precision"):
        first = captions_first(estimator, pictures, fake.captions(options.caption_column))
        right, width = r_precision(first)
        found |= {
            "r_precision": right,
            "r_precision_interval_95": width,
            "contrastive": estimator.name,
        }
    if scorer := judges.get("clip_score"):
        scores = scorer.scores(pictures, fake.captions(options.caption_column))
        found |= {
            "clip_score": float(np.mean(scores)),
            "clip_score_interval_95": 1.96 * float(np.std(scores)) / len(scores) ** 0.5,
            "clip": scorer.name,
        }
    return found


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
        lines.append("drawn with " + ", ".join(f"{k} {v}" for k, v in found["sampler"].items()))
    return "\n".join(lines)
