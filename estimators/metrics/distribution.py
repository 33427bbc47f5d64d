"""How two sets of features lie to each other: KID, precision, recall, density, coverage, and IS.

KID, precision and recall, and the Inception score are torch-fidelity's, on features of any
extractor. Precision and recall fall with N: compare only sets of equal size.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from estimators.metrics.features import Features
from ufc_base.extras import UnavailableError, how_to_install
from vqgan.perceptual import import_torchvision

KID_SUBSETS, KID_SUBSET_SIZE = 100, 1000
NEIGHBOURS = 3  # of precision and recall (Kynkaanniemi et al. 2019)
DENSITY_NEIGHBOURS = 5  # of density and coverage (Naeem et al. 2020)


@dataclass(frozen=True)
class Overlap:
    """How far drawn and real pictures cover each other.

    precision: share of drawn pictures that lie among the real ones, 0..1.
    recall: share of real pictures that lie among the drawn ones, 0..1.
    density: real neighbourhoods a drawn picture lies in, over those it would have by chance; 0 up.
    coverage: share of real pictures with a drawn one in their neighbourhood, 0..1.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def kernel_distance(drawn: Features, real: Features, seed: int = 0) -> tuple[float, float]:
    """KID (Binkowski et al. 2018): its mean over subsets, which is unbiased, and their spread.

    The kernel is the usual cubic one. Subsets have 1,000 pictures, or half of the smaller set.

    Raises:
        ValueError: a set has fewer than 4 pictures.
    """
    _check(drawn, real, 4)
    size = min(KID_SUBSET_SIZE, min(len(drawn), len(real)) // 2)
    found = _fidelity("metric_kid").kid_features_to_metric(
        _double(drawn),
        _double(real),
        kid_subsets=KID_SUBSETS,
        kid_subset_size=size,
        rng_seed=seed,
        verbose=False,
    )
    return (
        found["kernel_inception_distance_mean"],
        found["kernel_inception_distance_std"],
    )


def inception_score(logits: Features, splits: int = 10) -> tuple[float, float]:
    """exp of the mean divergence of p(class | picture) from p(class), and its spread over splits.

    It knows no real pictures: comparable only with one network, and on pictures of its classes.

    Raises:
        ValueError: fewer than 2 pictures, or logits that are all equal.
    """
    _check(logits, logits, 2)
    if not np.ptp(logits):
        raise ValueError(
            "the extractor gives every class the same logit, so there is no Inception score: its "
            "file of weights lacks the fully connected layers; fetch the whole file"
        )
    found = _fidelity("metric_isc").isc_features_to_metric(
        torch.from_numpy(logits), splits=min(splits, len(logits) // 2)
    )
    return found["inception_score_mean"], found["inception_score_std"]


def overlap(drawn: Features, real: Features) -> Overlap:
    """Precision, recall, density and coverage.

    Raises:
        ValueError: a set has too few pictures for its neighbourhoods.
    """
    _check(drawn, real, DENSITY_NEIGHBOURS + 1)
    found = _fidelity("metric_prc").prc_features_to_metric(
        _double(drawn),
        _double(real),
        prc_neighborhood=NEIGHBOURS,
        prc_batch_size=10_000,
        save_cpu_ram=False,
        verbose=False,
    )
    density, coverage = density_and_coverage(_double(drawn), _double(real))
    return Overlap(found["precision"], found["recall"], density, coverage)


def density_and_coverage(
    drawn_NF: Tensor, real_MF: Tensor, neighbours: int = DENSITY_NEIGHBOURS
) -> tuple[float, float]:
    """Naeem et al. 2020: real pictures have balls that reach to their k-th nearest real one.

    density = 1 / (k N) sum over drawn of the balls they lie in; coverage = share of balls with a
    drawn picture in them.
    """
    among_real = torch.cdist(real_MF, real_MF)
    radius_M = among_real.kthvalue(neighbours + 1, dim=1).values  # the first is itself
    inside_NM = torch.cdist(drawn_NF, real_MF) < radius_M
    density = inside_NM.sum() / (neighbours * len(drawn_NF))
    return float(density), float(inside_NM.any(0).double().mean())


def _check(a: Features, b: Features, least: int) -> None:
    if min(len(a), len(b)) < least:
        raise ValueError(
            f"got {len(a)} and {len(b)} pictures, wanted {least} or more of each for this figure: "
            "give more, or leave it out"
        )


def _double(features: Features) -> Tensor:
    return torch.from_numpy(np.asarray(features, dtype=np.float64))


def _fidelity(module: str) -> Any:
    try:
        import_torchvision()
        return importlib.import_module(f"torch_fidelity.{module}")
    except ImportError as error:
        raise UnavailableError(
            f"this figure needs torch-fidelity ({error}): {how_to_install('eval')}"
        ) from error
