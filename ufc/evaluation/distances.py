"""Frechet distances side by side: between real halves, of reconstructions, of generated pictures.

A distance means little by itself. Beside that of two halves of the real set, of held-out pictures
and of what the tokenizer alone makes of them, it says how much is noise, how much is the
tokenizer's, and how much is the generator's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image

from estimators.metrics.extractors.features import Features
from estimators.metrics.fid import Distance, distance_of, frechet_distance, statistics
from estimators.metrics.pairs.similarity import lpips_of_pairs, ssim
from ufc.evaluation.generated_sets import pictures_of
from ufc.evaluation.judges import Judges
from ufc.evaluation.scores import HeldOut
from ufc.pipeline import UFCPipeline
from ufc_base.images import to_tensor
from vqgan.metrics import psnr
from vqgan.quantizer import codebook_usage


def distance_report(
    pipeline: UFCPipeline, judges: Judges, real: HeldOut, generated: list[Image.Image]
) -> dict[str, Any]:
    """Four distances to the training pictures, ratios of the last, reconstruction figures."""
    rebuilt = pictures_of(pipeline, real.codes_NT)
    features = {
        "held-out real pictures": judges.features(real.fitted),
        "reconstructions": judges.features(rebuilt),
        "generated pictures": judges.features(generated),
    }
    found = {"two real halves": halves(judges.training)}
    found |= {name: distance_of(rows, judges.training) for name, rows in features.items()}
    last = found["generated pictures"].value
    return {
        "distances": {
            name: {
                "fd": each.value,
                "interval_95": each.half_width,
                "pictures": each.count,
                "reference_pictures": each.reference_count,
                "drawn_over_this": last / each.value if each.value else None,
            }
            for name, each in found.items()
        },
        "reconstruction": reconstruction_figures(pipeline, judges, real, rebuilt)
        | {
            "rfd": frechet_distance(
                statistics(features["reconstructions"]),
                statistics(features["held-out real pictures"]),
            )
        },
    }


def halves(features: Features, seed: int = 0) -> Distance:
    """The distance of one random half of a set from the other."""
    order = np.random.default_rng(seed).permutation(len(features))
    middle = len(order) // 2
    return distance_of(features[order[:middle]], features[order[middle : 2 * middle]])


def reconstruction_figures(
    pipeline: UFCPipeline,
    judges: Judges,
    real: HeldOut,
    rebuilt: list[Image.Image],
) -> dict[str, Any]:
    """PSNR in dB, SSIM and LPIPS (means), codes in use and their perplexity."""
    x, y = to_tensor(real.fitted), to_tensor(rebuilt)
    tokenizer = pipeline.tokenizer
    codes = tokenizer.config.codebooks * tokenizer.config.n_embed
    counts_V = torch.bincount(tokenizer.split(real.codes_NT).flatten(), minlength=codes).float()
    used, perplexity = codebook_usage(counts_V)
    return {
        "psnr": float(psnr(y, x).mean()),
        "ssim": float(ssim(y, x).mean()),
        "lpips": float(
            np.mean(lpips_of_pairs(judges.perceptual, zip(real.fitted, rebuilt, strict=True)))
        ),
        "codes_used": used,
        "codes": codes,
        "perplexity": perplexity,
    }


def distance_table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    lines = ["| FD to the training pictures of | | pictures | generated is |", "|---|---|---|---|"]
    for name, row in report["distances"].items():
        width = f" ± {row['interval_95']:.2f}" if row["interval_95"] else ""
        ratio = f"{row['drawn_over_this']:.1f} ×" if row["drawn_over_this"] else "–"
        lines.append(f"| {name} | {row['fd']:.2f}{width} | {row['pictures']} | {ratio} |")
    of = report["reconstruction"]
    lines += [
        "",
        f"Reconstructions: PSNR {of['psnr']:.2f} dB, SSIM {of['ssim']:.3f}, LPIPS "
        f"{of['lpips']:.4f}, FD to their originals {of['rfd']:.2f}, {of['codes_used']} of "
        f"{of['codes']} codes in use, perplexity {of['perplexity']:.0f}.",
    ]
    return "\n".join(lines)
