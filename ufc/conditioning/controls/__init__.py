"""The controls that become tokens, a file each; importing the package registers those here."""

from importlib import import_module
from pkgutil import iter_modules

from ufc.conditioning.controls.base import (
    CONTROLS,
    Control,
    Encoders,
    encode_controls,
    register_control,
)

__all__ = ["CONTROLS", "Control", "Encoders", "encode_controls", "register_control"]

for _module in sorted(iter_modules(__path__), key=lambda module: module.name):
    if _module.name != "base":
        import_module(f"{__name__}.{_module.name}")
