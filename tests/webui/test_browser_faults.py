"""What visitors ran into once, done again in a browser; a session of its own for each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import make_pipeline

pytest.importorskip("streamlit", reason="the editor's extra is not installed")
pytest.importorskip("selenium", reason="selenium is not installed")

import browser
from browser import Editor, serving
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

pytestmark = pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("editor")


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    make_pipeline().save_pretrained(folder / "tiny")
    with serving(folder / "out", "--model", str(folder / "tiny")) as address:
        yield address


@pytest.fixture(scope="module")
def window(address: str) -> Iterator[Editor]:
    editor = Editor(address)
    yield editor
    editor.close()


@pytest.fixture
def editor(window: Editor, address: str) -> Editor:
    """The page with a new session and one picture."""
    window.open(address)
    window.type_prompt("men's blue shirt")
    window.generate()
    return window


def session_of(editor: Editor, folder: Path) -> dict[str, Any]:
    key = editor.driver.current_url.split("s=")[1][:24]
    text = (folder / "out" / "sessions" / key / "session.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def speak(editor: Editor, language: str) -> None:
    buttons = editor.all(".st-key-setting_lang button")
    next(button for button in buttons if button.text.strip() == language).click()
    editor.wait(lambda: editor.all("[class*=st-key-shelf_zh]"), "the other language")
    editor.settle()


def press(editor: Editor, *keys: str) -> None:
    """A combination of keys, wherever the focus is."""
    hand = ActionChains(editor.driver)
    for key in keys[:-1]:
        hand.key_down(key)
    hand.send_keys(keys[-1])
    for key in reversed(keys[:-1]):
        hand.key_up(key)
    hand.perform()


def test_another_language_changes_words_alone(editor: Editor, folder: Path) -> None:
    editor.unfold("panel_fine")
    before = session_of(editor, folder)["settings"]
    speak(editor, "中文")
    chosen = "return [...document.querySelectorAll('.st-key-setting_order_zh input')].filter(e => e.checked).length"
    editor.wait(lambda: editor.driver.execute_script(chosen) == 1, "the order that is chosen")
    editor.generate()
    after = session_of(editor, folder)
    assert after["settings"] == before | {"lang": "zh", "seed": after["settings"]["seed"]}
    assert len(after["pictures"]) == 2
