"""The page, run by Streamlit's own test runner with a small pipeline, and what tests ask it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import make_pipeline

pytest.importorskip("streamlit", reason="the editor's extra is not installed")

from streamlit.testing.v1 import AppTest

from webui.sessions.state import Session

ROOT = Path(__file__).parents[3]
LONG = 60


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    make_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def output(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UFC_MODEL", str(model))
    monkeypatch.setenv("UFC_OUTPUT_DIR", str(tmp_path / "out"))
    monkeypatch.setenv("UFC_LANG", "en")
    return tmp_path / "out"


@pytest.fixture
def page(output: Path) -> Iterator[AppTest]:
    page = open_page()
    yield page
    assert not page.exception


def open_page(**address: str) -> AppTest:
    """The page at an address."""
    page = AppTest.from_file(str(ROOT / "webui" / "app.py"), default_timeout=LONG)
    for name, value in address.items():
        page.query_params[name] = value
    page.run()
    assert not page.exception
    return page


def key_of(page: AppTest) -> str:
    key = page.query_params["s"]
    return key[0] if isinstance(key, list) else str(key)


def session_of(page: AppTest, output: Path) -> Session:
    text = (output / "sessions" / key_of(page) / "session.json").read_text(encoding="utf-8")
    return Session.from_json(json.loads(text))


def keys(page: AppTest, kind: str) -> list[str]:
    return [item.key for item in page.get(kind)]


def generate(page: AppTest) -> None:
    page.button(key="generate").click().run()
    wait_for_the_drawing(page)
    assert "did not work" not in said(page)


def wait_for_the_drawing(page: AppTest) -> None:
    end = time.monotonic() + LONG
    while "stop" in keys(page, "button"):
        assert time.monotonic() < end, "the drawing does not end"
        page.run()
    assert not page.exception


def said(page: AppTest) -> str:
    kinds = ("markdown", "caption", "info", "success", "warning", "error", "toast")
    return "\n".join(item.value for kind in kinds for item in page.get(kind))
