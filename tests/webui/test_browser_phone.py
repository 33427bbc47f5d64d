"""On a phone the page is short, also of a session with many pictures, and nothing is beside it.

`make nightly ARGS=browser` runs it, by UFC_SLOW_BROWSER=1.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("streamlit", reason="the editor's extra is not installed")
pytest.importorskip("selenium", reason="selenium is not installed")

import browser
from browser import Editor, serving
from browser_pages import folder, opened, save_tiny  # noqa: F401
from editor_reload import sessions

pytestmark = [
    pytest.mark.skipif("UFC_SLOW_BROWSER" not in os.environ, reason="slow; see make nightly"),
    pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing())),
]

WIDTH, HEIGHT = 390, 844
MANY = 30  # pictures
SCREENS = {1: 2.25, MANY: 3}  # that the page takes at most, by its pictures
SIZE = """
const page = document.querySelector("[data-testid=stMainBlockContainer]");
return [page.scrollWidth, page.scrollHeight];
"""


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    return save_tiny(folder)


@pytest.fixture(scope="module")
def keys(folder: Path, model: Path) -> dict[int, str]:
    """Sessions by the number of their pictures."""
    return dict(zip((1, MANY), sessions(folder / "out", str(model), MANY), strict=True))


@pytest.fixture(scope="module")
def address(folder: Path, model: Path, keys: dict[int, str]) -> Iterator[str]:
    with serving(folder / "out", "--model", str(model)) as address:
        yield address


@pytest.fixture(scope="module")
def phone(address: str) -> Iterator[Editor]:
    with opened(f"{address}/?s=new") as editor:
        editor.resize(WIDTH, HEIGHT)
        yield editor


@pytest.mark.parametrize("count", [1, MANY])
def test_the_page_is_short(phone: Editor, address: str, keys: dict[int, str], count: int) -> None:
    phone.open(f"{address}/?s={keys[count]}")
    phone.wait(lambda: phone.inside("canvas", ".ready"), "the canvas")
    phone.wait(phone.pictures, "the history")
    phone.quieten()
    width, height = phone.driver.execute_script(SIZE)
    assert width <= WIDTH
    assert height <= SCREENS[count] * HEIGHT
