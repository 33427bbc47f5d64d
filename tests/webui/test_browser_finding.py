"""Work is found again, and pictures come in by hand, in a browser; a session of its own for each.

It takes minutes: `make nightly ARGS=browser` runs it, by UFC_SLOW_BROWSER=1.
"""

from __future__ import annotations

import io
import os

import pytest
from conftest import picture

pytest.importorskip("streamlit", reason="the editor's extra is not installed")
pytest.importorskip("selenium", reason="selenium is not installed")

import browser
from browser import Editor
from browser_pages import address, editor, folder, give, window  # noqa: F401
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

pytestmark = [
    pytest.mark.skipif("UFC_SLOW_BROWSER" not in os.environ, reason="slow; see make nightly"),
    pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing())),
]


def names(editor: Editor) -> list[str]:
    return [name.text for name in editor.inside("cards", ".name")]


def press(editor: Editor, act: str, place: int) -> None:
    """Press a button of a card, counted from the latest."""
    editor.inside("cards", f".card [data-act={act}]")[place].click()


def test_sessions_are_named_copied_deleted_and_opened(editor: Editor, address: str) -> None:
    editor.click(".st-key-head_session a")
    editor.wait(lambda: "men's blue shirt" in names(editor), "the start page")
    press(editor, "rename", 0)
    hand = ActionChains(editor.driver).key_down(Keys.CONTROL).send_keys("a").key_up(Keys.CONTROL)
    hand.send_keys("Shirts" + Keys.ENTER).perform()
    editor.wait(lambda: "Shirts" in names(editor), "the name")
    editor.settle()
    press(editor, "duplicate", 0)
    editor.wait(lambda: "Shirts (copy)" in names(editor), "the copy")
    editor.settle()
    press(editor, "delete", 0)
    editor.wait(lambda: "Shirts (copy)" not in names(editor), "the copy to go")
    editor.press("undo_delete")
    editor.wait(lambda: "Shirts (copy)" in names(editor), "the copy to come back")
    editor.settle()
    editor.inside("cards", ".card a")[1].click()
    editor.wait(lambda: editor.pictures() == 1 and not editor.busy(), "the session")
    name = editor.all(".st-key-session_name input")[0].get_attribute("value")
    assert name == "Shirts (copy)"


def test_pictures_are_dropped_and_pasted(editor: Editor) -> None:
    stream = io.BytesIO()
    picture(1, (40, 40)).save(stream, "PNG")
    for number, type in ((2, "drop"), (3, "paste")):
        give(editor, type, "photo.png", stream.getvalue())
        editor.wait(lambda number=number: editor.pictures() == number, type)
        editor.settle()
    editor.wait(lambda: "Download 40 × 40" in editor.text(), "its own size")
    give(editor, "drop", "notes.png", b"no picture")
    editor.wait(lambda: "notes.png cannot be used" in editor.text(), "the reason")


def test_blocks_are_drawn_around_and_a_wide_brush_takes_those_beside(editor: Editor) -> None:
    editor.tool("lasso")
    editor.drag(0, 3, 15, 12)
    editor.wait(lambda: {5, 6, 9, 10} <= {*editor.marked()}, "what was drawn around")
    assert 3 not in editor.marked() or len(editor.marked()) > 4
    editor.settle()
    editor.tool("clear")
    editor.wait(lambda: editor.marked() == (), "clear")
    editor.settle()
    editor.tool("large")
    editor.drag(5)
    editor.wait(lambda: {1, 4, 5, 6, 9} <= {*editor.marked()}, "the blocks beside")
    assert 15 not in editor.marked()
