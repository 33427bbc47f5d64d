"""The editor of a tiny model in a browser, for the tests that need one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from browser import Editor, serving
from conftest import make_pipeline


@contextmanager
def served(folder: Path, **changes: object) -> Iterator[str]:
    """The address of the page; sessions lie in `folder/out`. `changes` are of the model's sizes."""
    make_pipeline(**changes).save_pretrained(folder / "tiny")
    with serving(folder / "out", "--model", str(folder / "tiny")) as address:
        yield address


@contextmanager
def opened(address: str) -> Iterator[Editor]:
    """A browser with the page."""
    editor = Editor(address)
    try:
        yield editor
    finally:
        editor.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("editor")) as address:
        yield address


@pytest.fixture(scope="module")
def window(address: str) -> Iterator[Editor]:
    with opened(address) as editor:
        yield editor
