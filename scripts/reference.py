"""The reference of every public function, from its docstring: `python scripts/reference.py FOLDER`.

pdoc follows `__all__`, which in `ufc` names what users import; here every module has its page.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pdoc

PACKAGES = ("ufc", "estimators", "vqgan", "ufc_base")


def modules() -> list[str]:
    """The packages and all modules in them that are not run as programs."""
    inside = [
        found.name
        for package in PACKAGES
        for found in walk_packages(import_module(package).__path__, f"{package}.")
    ]
    return [*PACKAGES, *(name for name in inside if not name.endswith("__main__"))]


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    pdoc.pdoc(*modules(), output_directory=folder)
    sys.stdout.write(f"{folder / 'index.html'}\n")
