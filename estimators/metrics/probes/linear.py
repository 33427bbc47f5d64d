"""A linear probe: multinomial logistic regression on standardised features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from estimators.metrics.extractors.features import Features

L2 = 1e-2  # of the squared weights, on the mean loss; 1e-3 scores the same on real pictures
MAX_ITERATIONS = 100


@dataclass(frozen=True)
class Probe:
    """What tells the classes of one attribute apart: weight (F C), bias (C), C class names."""

    classes: tuple[str, ...]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


@dataclass(frozen=True)
class Scaler:
    """Mean and scale (F each) that bring features to zero mean and unit variance."""

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]

    def __call__(self, features: Features) -> Features:
        return (features - self.mean) / self.scale


def fit_scaler(features: Features) -> Scaler:
    """The scaler of features (N F); a feature that never changes keeps its scale."""
    spread = features.std(axis=0, dtype=np.float64)
    spread[spread < 1e-6] = 1.0
    mean = features.mean(axis=0, dtype=np.float64)
    return Scaler(mean.astype(np.float32), spread.astype(np.float32))


def fit_probe(features: Features, labels: Sequence[str], l2: float = L2) -> Probe:
    """Fit by full-batch L-BFGS; deterministic.

    Args:
        features: standardised, (N F).
        labels: the class of each row; classes are sorted by name.
        l2: weight of the squared weights; the bias is free.

    Raises:
        ValueError: lengths differ, or there are fewer than 2 classes.
    """
    classes = tuple(sorted(set(labels)))
    if len(features) != len(labels) or len(classes) < 2:
        raise ValueError(
            f"got {len(features)} rows, {len(labels)} labels and {len(classes)} classes, "
            "wanted one label per row and at least 2 classes"
        )
    index = {name: number for number, name in enumerate(classes)}
    x, y = torch.from_numpy(features), torch.tensor([index[label] for label in labels])
    weight = torch.zeros(x.shape[1], len(classes), requires_grad=True)
    bias = torch.zeros(len(classes), requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [weight, bias],
        max_iter=MAX_ITERATIONS,
        tolerance_change=1e-7,
        line_search_fn="strong_wolfe",
    )

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = nn.functional.cross_entropy(x @ weight + bias, y) + l2 / 2 * weight.square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    return Probe(classes, weight.detach().numpy(), bias.detach().numpy())


def predict(probe: Probe, features: Features) -> list[str]:
    """The likeliest class of each row of standardised features (N F)."""
    return [probe.classes[i] for i in (features @ probe.weight + probe.bias).argmax(axis=1)]
