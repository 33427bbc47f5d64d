"""The Inception score (Salimans et al. 2016), torch-fidelity's, by any network with classes."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch

from estimators.metrics.base import MeasuredSet, Metric, Need, register_metric
from estimators.metrics.extractors.features import Features
from estimators.metrics.extractors.torch_fidelity import check_counts, import_fidelity


@register_metric
class InceptionScore(Metric):
    name = "isc"
    help = "Inception score."
    source = "torch-fidelity"
    needs: ClassVar[frozenset[Need]] = frozenset({"logits"})
    in_reports = False

    def measure(self, given: MeasuredSet, judge: Any) -> dict[str, Any]:
        assert given.logits is not None
        score, width = inception_score(given.logits)
        return {"inception_score": score, "inception_score_std": width}


def inception_score(logits: Features, splits: int = 10) -> tuple[float, float]:
    """exp of the mean divergence of p(class | picture) from p(class), and its spread over splits.

    It knows no real pictures: comparable only with one network, and on pictures of its classes.

    Raises:
        ValueError: fewer than 2 pictures, or logits that are all equal.
    """
    check_counts(logits, logits, 2)
    if not np.ptp(logits):
        raise ValueError(
            "the extractor gives every class the same logit, so there is no Inception score: its "
            "file of weights lacks the fully connected layers; fetch the whole file"
        )
    found = import_fidelity("metric_isc").isc_features_to_metric(
        torch.from_numpy(logits), splits=min(splits, len(logits) // 2)
    )
    return found["inception_score_mean"], found["inception_score_std"]
