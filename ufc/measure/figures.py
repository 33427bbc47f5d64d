"""`ufc evaluate`'s first form: a set of pictures against a real one, every figure on demand."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from estimators.clip import load_chinese, load_english
from estimators.distribution import inception_score, kernel_distance, overlap
from estimators.features import Features
from estimators.fid import (
    FEW_PICTURES,
    Statistics,
    distance_of,
    load_statistics,
    save_statistics,
    statistics,
)
from estimators.measuring import Measuring, count_warning
from estimators.perception import spread
from estimators.retrieval import r_precision
from ufc.contrastive import ContrastiveEstimator
from ufc.measure.judges import caption_diversity, caption_ranks
from ufc.measure.sets import PictureSet
from vqgan.perceptual import lpips_model

FIGURES = ("fid", "kid", "isc", "prc", "lpips", "r_precision", "clip_score")
USUAL = ("fid", "kid", "prc")  # what is taken where none is asked for


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
    if len(fake.samples) < 2:
        raise ValueError(f"got {len(fake.samples)} picture, wanted 2 or more: it has no spread")
    against = tuple(name for name in ("fid", "kid", "prc") if name in wanted)
    if against and real is None:
        raise ValueError(f"{', '.join(against)} compare with real pictures: give them by --real")
    if isinstance(real, Path) and set(against) - {"fid"}:
        raise ValueError(
            f"{real} is statistics, which only FID can use; for {', '.join(against)} give the "
            "pictures by --real"
        )
    found: dict[str, Any] = {"pictures": len(fake.samples)}
    if against or "isc" in wanted:
        own = measuring.features(fake.samples, fake.content)
        if against and real is not None:
            found |= _against(against, own, _reference(real, measuring), measuring, options)
        if "isc" in wanted:
            score, width = inception_score(own[:, _logits(measuring)])
            found |= {"inception_score": score, "inception_score_std": width}
    if {"lpips", "r_precision", "clip_score"} & set(wanted):
        found |= _with_pictures(wanted, fake, options)
    return found | {
        "recipe": measuring.recipe,
        "extractor": measuring.extractor.name,
        "extractor_weights": measuring.extractor.weights,
        "resize": measuring.mode,
        "format": fake.formats,
        "real_format": real.formats if isinstance(real, PictureSet) else None,
        "seed": options.seed,
        "sampler": fake.recipe,
    }


def warning(found: dict[str, Any]) -> str:
    """A line for sets too small for their FID to stand by itself, else nothing."""
    counts = [found[name] for name in ("pictures", "real_pictures") if name in found]
    return count_warning(min(counts), FEW_PICTURES) if "fid" in found else ""


def _reference(real: PictureSet | Path, measuring: Measuring) -> Features | Statistics:
    if isinstance(real, PictureSet):
        return measuring.features(real.samples, real.content)[:, measuring.extractor.frechet]
    stats, about = load_statistics(real)
    if about != measuring.recipe:
        raise ValueError(
            f"{real} was made with {about!r}, this is {measuring.recipe!r}; "
            "give the same options, or make it again"
        )
    return stats


def _against(
    wanted: tuple[str, ...],
    own: Features,
    reference: Features | Statistics,
    measuring: Measuring,
    options: Options,
) -> dict[str, Any]:
    used = own[:, measuring.extractor.frechet]
    found: dict[str, Any] = {
        "real_pictures": reference.count if isinstance(reference, Statistics) else len(reference)
    }
    if options.save_stats and not isinstance(reference, Statistics):
        save_statistics(options.save_stats, statistics(reference), measuring.recipe)
    if "fid" in wanted:
        distance = distance_of(used, reference)
        found |= {"fid": distance.value, "fid_interval_95": distance.half_width}
    if isinstance(reference, Statistics):
        return found
    if "kid" in wanted:
        value, width = kernel_distance(used, reference, options.seed)
        found |= {"kid": value, "kid_std": width}
    if "prc" in wanted:
        found |= asdict(overlap(used, reference))
    return found


def _logits(measuring: Measuring) -> slice:
    if measuring.extractor.logits is None:
        raise ValueError(
            f"the extractor {measuring.extractor.name} has no classes, and the Inception score "
            "needs them; choose inception, alexnet or vgg16"
        )
    return measuring.extractor.logits


def _with_pictures(wanted: tuple[str, ...], fake: PictureSet, options: Options) -> dict[str, Any]:
    pictures = fake.pictures()
    found: dict[str, Any] = {}
    if "lpips" in wanted:
        perceptual = lpips_model("alex")
        found["lpips_spread"] = spread(
            perceptual, pictures.__getitem__, len(pictures), seed=options.seed
        )
        if all(fake.samples.record(i).get(options.caption_column) for i in range(len(pictures))):
            texts = fake.captions(options.caption_column)
            found["lpips_diversity"] = caption_diversity(perceptual, pictures, texts)
    if "r_precision" in wanted:
        estimator = ContrastiveEstimator.from_pretrained(options.contrastive)
        ranks = caption_ranks(estimator, pictures, fake.captions(options.caption_column))
        right = r_precision(ranks)
        found |= {
            "r_precision": right,
            "r_precision_interval_95": 1.96 * (right * (1 - right) / len(ranks)) ** 0.5,
            "contrastive": estimator.name,
        }
    if "clip_score" in wanted:
        found |= _clip_score(pictures, fake.captions(options.caption_column), options)
    return found


def _clip_score(pictures: list[Any], captions: list[str], options: Options) -> dict[str, Any]:
    load = load_chinese if options.caption_column == "text_zh" else load_english
    named = {} if options.clip_model is None else {"model": options.clip_model}
    scorer = load(**named, checkpoint=options.clip_checkpoint)
    scores = scorer.scores(pictures, captions)
    return {
        "clip_score": float(np.mean(scores)),
        "clip_score_interval_95": 1.96 * float(np.std(scores)) / len(scores) ** 0.5,
        "clip": scorer.name,
    }


def table(found: dict[str, Any]) -> str:
    """Figures with their intervals, a line each, and how they were taken."""
    lines = [f"{found['pictures']} pictures, {found.get('real_pictures', 'no')} real ones"]
    widths = {"fid": "fid_interval_95", "kid": "kid_std", "inception_score": "inception_score_std"}
    widths |= {name: f"{name}_interval_95" for name in ("r_precision", "clip_score")}
    about = {"pictures", "real_pictures", "seed", *widths.values()}
    for name, value in found.items():
        if isinstance(value, int | float) and name not in about:
            width = found.get(widths.get(name, ""))
            lines.append(f"{name:18}{value:10.4f}" + ("" if width is None else f"  ± {width:.4f}"))
    lines.append(f"{found['recipe']}; {found['format']}; seed {found['seed']}")
    if found["sampler"]:
        lines.append("drawn with " + ", ".join(f"{k} {v}" for k, v in found["sampler"].items()))
    return "\n".join(lines)
