"""A feature extractor of random weights, as a user's own would be written."""

from __future__ import annotations

import torch
from torch import nn

from estimators.metrics.extractors import Extractor, make_extractor


def tiny_extractor(weights: str | None = None) -> Extractor:
    """What `--extractor toy_extractor:tiny_extractor` would call."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1))
    return make_extractor("tiny", layers, (1, 2), 16)
