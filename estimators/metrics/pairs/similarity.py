"""How alike two pictures are: LPIPS, SSIM, and the cosine of deep features."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from estimators.metrics.extractors.features import Features
from ufc_base.extras import UnavailableError, how_to_install
from ufc_base.images import fit_square, to_tensor
from vqgan.perceptual import import_torchvision

Perceptual = Callable[[Tensor, Tensor], Tensor]

PAIRS = 64  # a forward pass
LEAST_SIDE = 64  # pixels; LPIPS's networks shrink pictures by 32 and more


def _common_side(pair: tuple[Image.Image, Image.Image]) -> int:
    return max(LEAST_SIDE, *pair[0].size, *pair[1].size)


@torch.no_grad()
def lpips_of_pairs(
    perceptual: Perceptual, pairs: Iterable[tuple[Image.Image, Image.Image]]
) -> list[float]:
    """LPIPS of each pair, both brought to the larger one's side, of 64 px at least.

    The side is each pair's own, so that nothing depends on which pairs share a batch.
    """
    distances: list[float] = []
    for side, group in itertools.groupby(pairs, _common_side):
        while batch := list(itertools.islice(group, PAIRS)):
            x, y = (to_tensor([fit_square(p, side) for p in of]) for of in zip(*batch, strict=True))
            distances += perceptual(x, y).flatten().tolist()
    return distances


def ssim(x_BCHW: Tensor, y_BCHW: Tensor) -> Tensor:
    """Structural similarity of each pair, (B,), 1 is equal; torchmetrics', for pixels in -1..1."""
    try:
        import_torchvision()
        module: Any = importlib.import_module("torchmetrics.functional.image")
    except ImportError as error:
        raise UnavailableError(
            f"SSIM needs torchmetrics ({error}): {how_to_install('eval')}"
        ) from error
    found: Tensor = module.structural_similarity_index_measure(
        (x_BCHW + 1) / 2, (y_BCHW + 1) / 2, data_range=1.0, reduction="none"
    )
    return found.reshape(-1)


def cosine_to(features: Features, reference: Features) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Cosine of row i of one set and row i of the other, (N,)."""
    a, b = features.astype(np.float64), reference.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray((a * b).sum(axis=1) / np.maximum(lengths, 1e-12))
