"""The whole judgement of a tokenizer: are its reconstructions still seen for what they are?

Beside PSNR and LPIPS, which say how near a picture is to its original, each extractor judges
reconstructions and originals alike: what probes fitted on real training pictures see in them (type,
colour, gender), and the Frechet distance to these training pictures. Every picture goes to the
extractor at the size that it has, none is shrunk to the tokenizer's first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image
from torch import Tensor

from estimators.metrics.extractors.measuring import Measuring
from estimators.metrics.probes.attributes import (
    ATTRIBUTES,
    NATIVE,
    Judge,
    Scores,
    compare,
    fit_judge,
    kept_judge,
    score,
)
from estimators.metrics.probes.linear import L2
from estimators.metrics.sets.picture_set import Listed, PictureSet
from ufc_base.data.datasets import Pixels
from ufc_base.images import to_pil
from vqgan.metrics import reconstruction_report
from vqgan.model import VQGAN

Say = Callable[[str], None]

SECONDS_BETWEEN_LINES = 15.0


@dataclass(frozen=True)
class Reconstructed:
    """A set's pictures as a tokenizer gives them back, with how near they are to the originals.

    Attributes:
        pictures: 8 bits, in the set's order and of the tokenizer's size.
        figures: what `reconstruction_report` says.
    """

    pictures: list[Image.Image]
    figures: dict[str, float | int]


def reconstruct(
    tokenizer: VQGAN,
    held_out: PictureSet,
    perceptual: Callable[[Tensor, Tensor], Tensor],
    fit: str = "pad",
) -> Reconstructed:
    """Encode and decode every picture of a set; `fit` is how they get the tokenizer's shape."""
    pictures: list[Image.Image] = []
    pixels = Pixels(held_out.samples, tokenizer.config.size, fit)
    figures = reconstruction_report(
        tokenizer, pixels, perceptual, on_batch=lambda y_BCHW: pictures.extend(to_pil(y_BCHW))
    )
    return Reconstructed(pictures, figures)


def judge_of(measuring: Measuring, training: PictureSet, say: Say) -> Judge:
    """Probes and statistics of training pictures at their own size, fitted once for their content.

    Attributes that tell no two pictures apart have no probe.
    """
    records = [training.samples.record(index) for index in range(len(training.samples))]
    told_apart = [n for n in ATTRIBUTES if len({r[n] for r in records if r.get(n)}) > 1]

    def fit() -> Judge:
        name = measuring.extractor.name
        telling = replace(measuring, on_batch=_now_and_then(say, name, len(records)))
        say(f"features of {len(records):,} training pictures by {name} (once) …")
        features = telling.features(training.samples, training.content)
        return fit_judge(measuring.extractor, {NATIVE: features}, records, told_apart)

    key = {"content": training.content, "recipe": measuring.recipe, "l2": L2, "of": told_apart}
    return kept_judge(measuring.cache_dir if training.content else None, key, fit)


def _now_and_then(say: Say, name: str, total: int) -> Callable[[int], None]:
    """Told how many pictures are done, says so, but not too often."""
    said = time.monotonic()

    def tell(done: int) -> None:
        nonlocal said
        if time.monotonic() - said > SECONDS_BETWEEN_LINES:
            said = time.monotonic()
            say(f"{name}: {done:,} of {total:,}")

    return tell


def judged(
    measuring: Measuring,
    reconstructed: Reconstructed,
    held_out: PictureSet,
    training: PictureSet,
    say: Say,
) -> dict[str, Any]:
    """What one extractor sees: both rows, reconstructed over real, standard errors, distances."""
    judge = judge_of(measuring, training, say)
    records = [held_out.samples.record(index) for index in range(len(held_out.samples))]

    def seen(samples: Any, content: str | None) -> Scores:
        features = measuring.features(samples, content)
        return score(judge, measuring.extractor, features, records)

    rows = seen(Listed(reconstructed.pictures), None), seen(held_out.samples, held_out.content)
    found = compare(*rows)
    return {
        "extractor": measuring.extractor.name,
        "recipe": measuring.recipe,
        "reconstructed": found["drawn"],
        "real": found["real"],
        "share": found["share"],
        "standard_error": found["standard_error"],
        "fd_over_real": rows[0].fd / max(rows[1].fd, 1e-9),
    }


def tokenizer_report(
    tokenizer: VQGAN,
    held_out: PictureSet,
    training: PictureSet,
    measurings: Sequence[Measuring],
    perceptual: Callable[[Tensor, Tensor], Tensor],
    say: Say = lambda line: None,
    fit: str = "pad",
) -> dict[str, Any]:
    """Figures of the reconstructions, and a judgement by the extractor of each of `measurings`."""
    say(f"reconstructing {len(held_out.samples)} pictures …")
    reconstructed = reconstruct(tokenizer, held_out, perceptual, fit)
    width, height = reconstructed.pictures[0].size
    return {
        "size": [width, height],
        "training_pictures": len(training.samples),
        "reconstruction": reconstructed.figures,
        "judges": [judged(each, reconstructed, held_out, training, say) for each in measurings],
    }


def tokenizer_table(report: dict[str, Any]) -> str:
    """The report as text: a block of lines for each judge."""
    of, (width, height) = report["reconstruction"], report["size"]
    lines = [
        f"{of['pictures']} pictures, reconstructed at {width} x {height} px: "
        f"PSNR {of['psnr']:.2f} dB, LPIPS {of['lpips']:.4f}, chroma error "
        f"{of['chroma_error']:.3f}, {of['codes_used']} of {of['codes']} codes, perplexity "
        f"{of['perplexity']:.0f}",
    ]
    for judge in report["judges"]:
        rebuilt, real = judge["reconstructed"], judge["real"]
        lines += [
            "",
            f"{judge['recipe']}; {report['training_pictures']} training pictures",
            f"{'':12}{'reconstructed':>14}{'+-':>7}{'real':>8}{'share of real':>15}",
        ]
        for name, share in judge["share"].items():
            error = judge["standard_error"][name]
            lines.append(
                f"{name:12}{rebuilt[name]:14.3f}{error:7.3f}{real[name]:8.3f}{share:15.1%}"
            )
        ratio = f"{judge['fd_over_real']:.2f} x"
        lines.append(f"{'FD to train':12}{rebuilt['fd']:14.2f}{'':7}{real['fd']:8.2f}{ratio:>15}")
    return "\n".join(lines)
