"""The estimators that there are, by name; those of every file in this folder."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pkgutil import iter_modules

import estimators
from estimators.base import ESTIMATORS, Estimator

NOT_HERE = {"base", "registry", "contrastive", "fid", "metrics"}  # no estimators of the transformer


def find_estimators(names: Sequence[str]) -> dict[str, Estimator]:
    """The estimators of these names, in their order.

    Raises:
        ValueError: there is none of a name.
    """
    for module in iter_modules(estimators.__path__):
        if module.name not in NOT_HERE:
            import_module(f"estimators.{module.name}")
    unknown = [name for name in names if name not in ESTIMATORS]
    if unknown:
        raise ValueError(f"there is no estimator {unknown}; choose from {', '.join(ESTIMATORS)}")
    return {name: ESTIMATORS[name] for name in names}
