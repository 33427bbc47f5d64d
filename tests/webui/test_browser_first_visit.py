"""A first visit, counted: words, a picture, a part of it changed, its file; in three ways.

It takes a minute: `make nightly ARGS=browser` runs it, by UFC_SLOW_BROWSER=1.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("streamlit", reason="the editor's extra is not installed")
pytest.importorskip("selenium", reason="selenium is not installed")

import browser
from browser import Editor
from browser_pages import address, folder, window  # noqa: F401
from conftest import TINY_VQGAN
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

pytestmark = [
    pytest.mark.skipif("UFC_SLOW_BROWSER" not in os.environ, reason="slow; see make nightly"),
    pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing())),
]

WORDS = {"en": "men's blue shirt", "zh": "男士蓝色衬衫"}
MOST_PRESSES = 6
MOST_TABS = 80

COUNT = """
window.presses = 0;
document.addEventListener("pointerdown", (event) => { window.presses += event.isTrusted; }, true);
"""
PLACE = """
arguments[0].scrollIntoView({block: "center"});
const box = arguments[0].getBoundingClientRect();
return [box.x + box.width / 2, box.y + box.height / 2];
"""
FOCUSED = """
let element = document.activeElement;
while (element.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
return element;
"""


@pytest.fixture(params=["en", "zh"])
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def editor(window: Editor, address: str, language: str, tmp_path: Path) -> Editor:
    downloads = {"behavior": "allow", "downloadPath": str(tmp_path)}
    window.driver.execute_cdp_cmd("Browser.setDownloadBehavior", downloads)
    window.open(f"{address}/?s=new&lang={language}")
    window.driver.execute_script(COUNT)
    return window


def a_picture(editor: Editor, number: int) -> None:
    editor.wait(lambda: editor.pictures() == number and not editor.all(".st-key-stop"), "a picture")
    editor.settle()


def the_file(editor: Editor, folder: Path) -> Image.Image:
    path = editor.wait(lambda: next(iter(folder.glob("ufc-*.png")), None), "the download")
    return Image.open(path)


def presses(editor: Editor) -> int:
    return int(editor.driver.execute_script("return window.presses"))


def test_by_mouse(editor: Editor, language: str, tmp_path: Path) -> None:
    editor.click("textarea")
    ActionChains(editor.driver).send_keys(WORDS[language]).perform()
    editor.press("generate")
    a_picture(editor, 1)
    editor.drag(0, 3, 7, 4)
    editor.wait(lambda: len(editor.marked()) == 8, "the marks")
    editor.settle()
    editor.press("generate")
    a_picture(editor, 2)
    editor.press("download")
    assert the_file(editor, tmp_path).size == TINY_VQGAN.size[::-1]
    assert 0 < presses(editor) <= MOST_PRESSES


@pytest.fixture
def phone(editor: Editor) -> Iterator[Editor]:
    """The page in the hand: narrow, and with no mouse."""
    touch = "Emulation.setTouchEmulationEnabled"
    editor.resize(390, 844)
    editor.driver.execute_cdp_cmd(touch, {"enabled": True})
    editor.open(editor.driver.current_url)
    editor.driver.execute_script(COUNT)
    yield editor
    editor.driver.execute_cdp_cmd(touch, {"enabled": False})
    editor.resize(1440, 1000)


def tap(editor: Editor, find: Callable[[], WebElement], what: str) -> None:
    """Put a finger on what is found, once it is there and stays in its place."""

    def place() -> list[float] | None:
        element = find()
        return list(editor.driver.execute_script(PLACE, element)) if element.is_enabled() else None

    def still() -> list[float] | None:
        first = place()
        time.sleep(0.3)
        return first if first is not None and first == place() else None

    x, y = editor.wait(still, what)
    for kind, points in (("touchStart", [{"x": x, "y": y}]), ("touchEnd", [])):
        event = {"type": kind, "touchPoints": points}
        editor.driver.execute_cdp_cmd("Input.dispatchTouchEvent", event)


def test_by_touch(phone: Editor, language: str, tmp_path: Path) -> None:
    def button(key: str) -> Callable[[], WebElement]:
        """One with help is there twice: with a tooltip for a mouse, and without."""
        return lambda: next(b for b in phone.all(f".st-key-{key} button") if b.is_displayed())

    tap(phone, lambda: phone.all("textarea")[0], "the words")
    ActionChains(phone.driver).send_keys(WORDS[language]).perform()
    tap(phone, button("generate"), "generate")
    a_picture(phone, 1)
    tap(phone, lambda: phone.inside("canvas", ".ready .cell")[5], "a block")
    phone.wait(lambda: phone.marked() == (5,), "the mark")
    phone.settle()
    tap(phone, button("generate"), "generate")
    a_picture(phone, 2)
    tap(phone, button("download"), "the download")
    assert the_file(phone, tmp_path).size == TINY_VQGAN.size[::-1]
    assert 0 < presses(phone) <= MOST_PRESSES


def tab_to(editor: Editor, wanted: Callable[[str], bool], what: str) -> None:
    """Press Tab until what has the focus is what is wanted, told by its tag and classes."""
    tell = FOCUSED.replace(
        "return element;",
        "return [element.tagName, element.className, "
        "element.closest('[class*=st-key]')?.className ?? ''].join(' ');",
    )
    for _ in range(MOST_TABS):
        if wanted(str(editor.driver.execute_script(tell))):
            return
        ActionChains(editor.driver).send_keys(Keys.TAB).perform()
    raise AssertionError(f"{MOST_TABS} times Tab did not reach {what}")


def generate_by_keys(editor: Editor) -> None:
    keys = ActionChains(editor.driver).key_down(Keys.CONTROL).send_keys(Keys.ENTER)
    keys.key_up(Keys.CONTROL).perform()


def test_by_the_keyboard_alone(editor: Editor, language: str, tmp_path: Path) -> None:
    tab_to(editor, lambda it: it.startswith("TEXTAREA"), "the words")
    ActionChains(editor.driver).send_keys(WORDS[language]).perform()
    generate_by_keys(editor)
    a_picture(editor, 1)
    tab_to(editor, lambda it: "cell" in it.split(), "the blocks")
    ActionChains(editor.driver).send_keys(Keys.SPACE).perform()
    editor.wait(lambda: len(editor.marked()) == 1, "a mark")
    editor.settle()
    generate_by_keys(editor)
    a_picture(editor, 2)
    tab_to(editor, lambda it: "st-key-download" in it.split(), "the download")
    ActionChains(editor.driver).send_keys(Keys.ENTER).perform()
    assert the_file(editor, tmp_path).size == TINY_VQGAN.size[::-1]
    assert presses(editor) == 0
