"""Examples as modules: they are files beside the packages."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any


def load_example(name: str) -> Any:
    """`examples/NAME.py` as a module."""
    file = Path(__file__).parents[2] / "examples" / f"{name}.py"
    found = importlib.util.spec_from_file_location(name, file)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # dataclasses look their module up
    found.loader.exec_module(module)
    return module
