"""Examples are files beside the packages: scripts as modules, notebooks as cells."""

from __future__ import annotations

import ast
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "examples"
ELSEWHERE = ("batch.sbatch",)  # run by test_batch.py alone


def example_files() -> list[Path]:
    """Those that run as they are: scripts and notebooks."""
    return sorted(
        path for path in FOLDER.iterdir() if path.is_file() and path.name not in ELSEWHERE
    )


def load_example(name: str) -> Any:
    """`examples/NAME.py` as a module."""
    found = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # dataclasses look their module up
    found.loader.exec_module(module)
    return module


def cells_of(notebook: Path, kind: str) -> list[str]:
    """Sources of a notebook's cells of a kind, `code` or `markdown`."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == kind]


def run_notebook(notebook: Path) -> list[Any]:
    """Run a notebook's code as a kernel would; what its cells show by their last expressions."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    shown = []
    for number, source in enumerate(cells_of(notebook, "code"), 1):
        name = f"{notebook.name}, code cell {number}"
        body = ast.parse(source, name).body
        last = body.pop() if isinstance(body[-1], ast.Expr) else None
        exec(compile(ast.Module(body, []), name, "exec"), namespace)
        if isinstance(last, ast.Expr):
            shown.append(eval(compile(ast.Expression(last.value), name, "eval"), namespace))
    return shown
