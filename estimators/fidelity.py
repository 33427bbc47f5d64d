"""Fidelity ([FDL] of M6-UFC): does the picture look real?"""

from __future__ import annotations

from torch import Tensor

from estimators.base import (
    CORRUPTED,
    GENERATED,
    REAL,
    Estimator,
    Examples,
    label_where,
    register_estimator,
)


@register_estimator
class Fidelity(Estimator):
    """Complete real pictures against generated ones, and against such with some cells wrong.

    Part-masked ones are not asked: generated ones have no masks, so those would tell what is real.
    """

    name = "fidelity"
    sees_conditioning = False

    def labels(self, examples: Examples) -> Tensor:
        real = examples.of(REAL) & examples.own & examples.complete
        wrong = examples.of(GENERATED) | (examples.of(CORRUPTED) & examples.altered)
        return label_where(real, wrong)
