"""Training objectives, a file each; all files of this folder are imported and register theirs."""

from importlib import import_module
from pkgutil import iter_modules

from ufc.training.objectives.base import OBJECTIVES, Context, Objective, register_objective

__all__ = ["OBJECTIVES", "Context", "Objective", "register_objective"]

for _module in sorted(iter_modules(__path__), key=lambda module: module.name):
    if _module.name != "base":
        import_module(f"{__name__}.{_module.name}")
