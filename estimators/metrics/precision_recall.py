"""How two sets of features cover each other: precision, recall, density and coverage.

Precision and recall are torch-fidelity's, on features of any extractor. They fall with N: compare
only sets of equal size.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from estimators.metrics.base import MeasuredSet, Metric, Need, register_metric
from estimators.metrics.extractors.features import Features
from estimators.metrics.extractors.torch_fidelity import as_double, check_counts, import_fidelity

NEIGHBOURS = 3  # of precision and recall (Kynkaanniemi et al. 2019)
DENSITY_NEIGHBOURS = 5  # of density and coverage (Naeem et al. 2020)


@register_metric
class PrecisionRecall(Metric):
    name = "prc"
    help = "Precision and recall (k = 3); density and coverage (k = 5)."
    source = "torch-fidelity; own"
    needs: ClassVar[frozenset[Need]] = frozenset({"features", "real"})
    usual = True

    def measure(self, given: MeasuredSet, judge: Any) -> dict[str, Any]:
        assert given.features is not None and given.real is not None
        return asdict(overlap(given.features, given.real))


@dataclass(frozen=True)
class Overlap:
    """How far generated and real pictures cover each other.

    precision: share of generated pictures that lie among the real ones, 0..1.
    recall: share of real pictures that lie among the generated ones, 0..1.
    density: real neighbourhoods a generated picture lies in, over those by chance; 0 up.
    coverage: share of real pictures with a generated one in their neighbourhood, 0..1.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def overlap(generated: Features, real: Features) -> Overlap:
    """Precision, recall, density and coverage.

    Raises:
        ValueError: a set has too few pictures for its neighbourhoods.
    """
    check_counts(generated, real, DENSITY_NEIGHBOURS + 1)
    found = import_fidelity("metric_prc").prc_features_to_metric(
        as_double(generated),
        as_double(real),
        prc_neighborhood=NEIGHBOURS,
        prc_batch_size=10_000,
        save_cpu_ram=False,
        verbose=False,
    )
    density, coverage = density_and_coverage(as_double(generated), as_double(real))
    return Overlap(found["precision"], found["recall"], density, coverage)


def density_and_coverage(
    generated_NF: Tensor, real_MF: Tensor, neighbours: int = DENSITY_NEIGHBOURS
) -> tuple[float, float]:
    """Naeem et al. 2020: real pictures have balls that reach to their k-th nearest real one.

    density = 1 / (k N) sum over generated pictures of the balls they lie in; coverage = share of
    balls with one in them.
    """
    among_real = torch.cdist(real_MF, real_MF)
    radius_M = among_real.kthvalue(neighbours + 1, dim=1).values  # the first is itself
    inside_NM = torch.cdist(generated_NF, real_MF) < radius_M
    density = inside_NM.sum() / (neighbours * len(generated_NF))
    return float(density), float(inside_NM.any(0).double().mean())
