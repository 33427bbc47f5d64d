"""Compliance ([REL] of M6-UFC): does the picture obey its conditioning?"""

from __future__ import annotations

from torch import Tensor

from estimators.base import REAL, Estimator, Examples, label_where, register_estimator


@register_estimator
class Compliance(Estimator):
    """Real pictures under their own conditioning against the same under a wrong one.

    Part-masked ones are asked too: whether words fit shows early.
    """

    name = "compliance"
    sees_conditioning = True

    def labels(self, examples: Examples) -> Tensor:
        asked = examples.of(REAL) & examples.conditioned & examples.certain
        return label_where(asked & examples.own, asked & ~examples.own)
