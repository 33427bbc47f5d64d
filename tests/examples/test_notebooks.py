"""Notebooks are stored without what they showed, are plain Python, and link to what is there."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from urllib.parse import unquote

import pytest
from example_files import FOLDER, cells_of
from test_docs import anchors, links

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.name)
def notebook(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_nothing_that_was_shown_is_stored(notebook: Path) -> None:
    stored = json.loads(notebook.read_text(encoding="utf-8"))
    assert set(stored["metadata"]) <= {"kernelspec", "language_info"}
    for cell in stored["cells"]:
        assert not cell.get("outputs") and cell.get("execution_count") is None, cell["source"]
        assert cell["metadata"] == {}, cell["source"]
    names = [cell["id"] for cell in stored["cells"]]
    assert len(set(names)) == len(names)


def test_it_is_plain_python_that_a_variable_makes_short(notebook: Path) -> None:
    code = cells_of(notebook, "code")
    for source in code:
        ast.parse(source)  # no %magic, no !command
    assert "UFC_SMOKE" in code[0] and "UFC_MODEL" in code[0]


def test_it_explains_what_it_does(notebook: Path) -> None:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    kinds = [cell["cell_type"] for cell in cells]
    assert kinds[0] == "markdown" and kinds.count("markdown") >= kinds.count("code") - 1


def test_its_links_lead_somewhere(notebook: Path) -> None:
    found = [link for text in cells_of(notebook, "markdown") for link in links(text)]
    assert found
    for link in found:
        path, _, anchor = link.partition("#")
        target = FOLDER / unquote(path)
        assert target.is_file(), f"{notebook.name} links to {link}, which is not there"
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), link
