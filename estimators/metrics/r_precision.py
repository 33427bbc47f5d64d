"""Does a picture find its caption among others? R-precision and recall from two sets of embeddings.

R-precision (Xu et al. 2018, AttnGAN): each picture ranks its own caption among 99 others that read
differently; the share of pictures that put their own first. Recall is among all captions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from estimators.metrics.base import Contrastive, MeasuredSet, Metric, Need, Options, register_metric

RIVALS = 99


@register_metric
class RPrecision(Metric):
    name = "r_precision"
    help = (
        "Is a picture's own caption found among 99 others that read differently? "
        "n-fold ties count 1 / n."
    )
    source = "the contrastive estimator"
    needs: ClassVar[frozenset[Need]] = frozenset({"pictures", "captions"})

    def load(self, options: Options) -> Contrastive:
        if options.contrastive is None:
            raise ValueError("R-precision needs a contrastive estimator; give one")
        return options.contrastive()

    def measure(self, given: MeasuredSet, judge: Contrastive) -> dict[str, Any]:
        assert given.captions is not None
        right, width = r_precision(captions_first(judge, given.pictures, given.captions))
        return {
            "r_precision": right,
            "r_precision_interval_95": width,
            "contrastive": judge.name,
        }


def captions_first(
    judge: Contrastive, pictures: Sequence[Image.Image], captions: Sequence[str]
) -> Tensor:
    """Does each picture's own caption come before 99 that read differently? (N,); `own_first`."""
    return own_first(judge.embed_images(pictures) @ judge.embed_texts(captions).T, captions)


def own_first(
    similarity_NN: Tensor, captions: Sequence[str], rivals: int = RIVALS, seed: int = 0
) -> Tensor:
    """Does each picture put its own caption before `rivals` that read differently? (N,), 1 or 0.

    Where n others tie with it for the first place, 1 / (n + 1). `similarity_NN[i, j]` says how well
    caption j fits picture i. With fewer different captions than `rivals`, all of them are used.

    Raises:
        ValueError: shapes do not fit, or all captions are equal.
    """
    if similarity_NN.shape != (len(captions), len(captions)) or len(set(captions)) < 2:
        raise ValueError(
            f"got similarities {tuple(similarity_NN.shape)} and {len(captions)} captions of which "
            f"{len(set(captions))} differ, wanted one row and column per caption and 2 different"
        )
    places: dict[str, int] = {}
    for index, caption in enumerate(captions):
        places.setdefault(caption, index)
    rng = np.random.default_rng(seed)
    first_N = torch.zeros(len(captions))
    for index, caption in enumerate(captions):
        others = [place for text, place in places.items() if text != caption]
        row = similarity_NN[index]
        against = row[torch.from_numpy(rng.permutation(others)[:rivals])]
        if not bool((against > row[index]).any()):
            first_N[index] = 1 / (1 + (against == row[index]).sum())
    return first_N


def r_precision(first_N: Tensor) -> tuple[float, float]:
    """Share of pictures that put their own caption first, 0..1, and its 95 % interval's half width.

    The interval is the normal one of a mean over pictures.
    """
    found = first_N.double()
    return float(found.mean()), 1.96 * float(found.std(correction=0)) / len(found) ** 0.5


def recall_at(similarity_NM: Tensor, right_NM: Tensor, k: int) -> float:
    """Share of rows with a right column among the k most similar, 0..1."""
    best = similarity_NM.topk(min(k, similarity_NM.shape[1]), dim=1).indices
    return float(right_NM.gather(1, best).any(1).float().mean())
