"""KID: the kernel distance of two sets of features (Binkowski et al. 2018), torch-fidelity's."""

from __future__ import annotations

from typing import Any, ClassVar

from estimators.metrics.base import MeasuredSet, Metric, Need, register_metric
from estimators.metrics.extractors.features import Features
from estimators.metrics.extractors.torch_fidelity import as_double, check_counts, import_fidelity

KID_SUBSETS, KID_SUBSET_SIZE = 100, 1000


@register_metric
class KernelDistance(Metric):
    name = "kid"
    help = "Kernel distance, unbiased, with its spread over subsets."
    source = "torch-fidelity"
    needs: ClassVar[frozenset[Need]] = frozenset({"features", "real"})
    higher_is_better = False
    usual = True
    in_reports = False

    def measure(self, given: MeasuredSet, judge: Any) -> dict[str, Any]:
        assert given.features is not None and given.real is not None
        value, width = kernel_distance(given.features, given.real, given.seed)
        return {"kid": value, "kid_std": width}


def kernel_distance(generated: Features, real: Features, seed: int = 0) -> tuple[float, float]:
    """KID (Binkowski et al. 2018): its mean over subsets, which is unbiased, and their spread.

    The kernel is the usual cubic one. Subsets have 1,000 pictures, or half of the smaller set.

    Raises:
        ValueError: a set has fewer than 4 pictures.
    """
    check_counts(generated, real, 4)
    size = min(KID_SUBSET_SIZE, min(len(generated), len(real)) // 2)
    found = import_fidelity("metric_kid").kid_features_to_metric(
        as_double(generated),
        as_double(real),
        kid_subsets=KID_SUBSETS,
        kid_subset_size=size,
        rng_seed=seed,
        verbose=False,
    )
    return (
        found["kernel_inception_distance_mean"],
        found["kernel_inception_distance_std"],
    )
