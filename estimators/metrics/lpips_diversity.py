"""LPIPS diversity: how far apart pictures of one caption are, and any two of a set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image

from estimators.metrics.base import MeasuredSet, Metric, Need, Options, register_metric
from estimators.metrics.pairs.similarity import Perceptual, lpips_of_pairs
from vqgan.perceptual import lpips_model

MAX_PAIRS = 500  # of one caption


@register_metric
class LpipsDiversity(Metric):
    name = "lpips"
    help = "Mean LPIPS between pictures of one caption (diversity) and of any two (spread)."
    source = "lpips"
    needs: ClassVar[frozenset[Need]] = frozenset({"pictures"})

    def load(self, options: Options) -> Perceptual:
        return options.perceptual or lpips_model("alex")

    def measure(self, given: MeasuredSet, judge: Perceptual) -> dict[str, Any]:
        pictures = given.pictures
        found: dict[str, Any] = {
            "lpips_spread": spread(
                judge, pictures.__getitem__, len(pictures), given.pairs, given.seed
            )
        }
        if given.captions is not None:
            found["lpips_diversity"] = caption_diversity(judge, pictures, given.captions)
        return found


def spread(
    perceptual: Perceptual,
    picture: Callable[[int], Image.Image],
    count: int,
    pairs: int = 500,
    seed: int = 0,
) -> float:
    """Mean LPIPS between random pictures of one set, whatever their captions.

    Raises:
        ValueError: fewer than two pictures.
    """
    if count < 2:
        raise ValueError(f"got {count} pictures, wanted 2 or more to compare")
    rng = np.random.default_rng(seed)
    chosen = (rng.choice(count, 2, replace=False).tolist() for _ in range(pairs))
    return float(np.mean(lpips_of_pairs(perceptual, ((picture(a), picture(b)) for a, b in chosen))))


def caption_diversity(
    perceptual: Perceptual,
    pictures: Sequence[Image.Image],
    captions: Sequence[str],
    most: int = MAX_PAIRS,
) -> float | None:
    """Mean LPIPS between pictures of one caption; None where no caption has two."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, caption in enumerate(captions):
        groups[caption].append(index)
    pairs = [(a, b) for g in groups.values() for i, a in enumerate(g) for b in g[i + 1 :]]
    if not pairs:
        return None
    chosen = np.random.default_rng(0).permutation(len(pairs))[:most].tolist()
    found = lpips_of_pairs(
        perceptual, ((pictures[pairs[i][0]], pictures[pairs[i][1]]) for i in chosen)
    )
    return float(torch.tensor(found).mean())
