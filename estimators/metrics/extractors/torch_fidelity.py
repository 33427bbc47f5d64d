"""The one door to torch-fidelity, an extra, and what its metrics take."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from estimators.metrics.extractors.features import Features
from ufc_base.extras import UnavailableError, how_to_install
from vqgan.perceptual import import_torchvision


def check_counts(a: Features, b: Features, least: int) -> None:
    """Raise `ValueError` where a set has fewer than `least` pictures."""
    if min(len(a), len(b)) < least:
        raise ValueError(
            f"got {len(a)} and {len(b)} pictures, wanted {least} or more of each for this figure: "
            "give more, or leave it out"
        )


def as_double(features: Features) -> Tensor:
    """Features as float64."""
    return torch.from_numpy(np.asarray(features, dtype=np.float64))


def import_fidelity(module: str) -> Any:
    """One of torch-fidelity's modules; raises `UnavailableError` where it is not installed."""
    try:
        import_torchvision()
        return importlib.import_module(f"torch_fidelity.{module}")
    except ImportError as error:
        raise UnavailableError(
            f"this figure needs torch-fidelity ({error}): {how_to_install('eval')}"
        ) from error
