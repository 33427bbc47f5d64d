"""Orders of filling, a file each; every file of this folder is imported, and registers its own."""

from importlib import import_module
from pkgutil import iter_modules

from ufc.sampling.orders.base import ORDERS, Order, StepView, find_order, register_order

__all__ = ["ORDERS", "Order", "StepView", "find_order", "register_order"]

FIRST = ("pnag", "maskgit", "mask_predict", "halton")  # in lists; others follow by name
_names = [module.name for module in iter_modules(__path__) if module.name != "base"]
for _name in [*FIRST, *sorted(set(_names) - set(FIRST))]:
    import_module(f"{__name__}.{_name}")
