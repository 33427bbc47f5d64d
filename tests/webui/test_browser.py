"""The editor from end to end: a server, a browser, and a visitor who does everything once."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("streamlit", reason="the editor's extra is not installed")
pytest.importorskip("selenium", reason="selenium is not installed")

import browser
from browser import Editor
from browser_pages import opened, served

from ufc.io.png.metadata import read_metadata

pytestmark = pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing()))


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    slow = {"depth": 64}  # enough to be stopped
    with served(tmp_path_factory.mktemp("editor"), **slow) as address:
        yield address


@pytest.fixture(scope="module")
def editor(address: str) -> Iterator[Editor]:
    with opened(address) as editor:
        yield editor


def test_a_visit(editor: Editor, address: str, tmp_path: Path) -> None:
    downloads = {"behavior": "allow", "downloadPath": str(tmp_path)}
    editor.driver.execute_cdp_cmd("Browser.setDownloadBehavior", downloads)

    # Words make a picture.
    editor.type_prompt("men's blue shirt")
    editor.generate()
    assert editor.pictures() == 1

    # One drag over blocks is one round trip, however many they are.
    editor.quieten()
    editor.drag(0, 3, 7, 4)
    editor.wait(lambda: "Regenerates 8 of 16 blocks" in editor.text(), "the plan")
    editor.settle()
    assert browser.sent(editor.network()) == 1
    assert editor.marked() == tuple(range(8))

    # The tools do what they say, and undo takes it back.
    editor.tool("invert")
    editor.wait(lambda: editor.marked() == tuple(range(8, 16)), "invert")
    editor.tool("undo")
    editor.wait(lambda: editor.marked() == tuple(range(8)), "undo")
    editor.tool("row")
    editor.drag(12)
    editor.wait(lambda: editor.marked() == (*range(8), 12, 13, 14, 15), "a row")
    editor.tool("keep")
    editor.wait(lambda: "Regenerates 4 of 16 blocks" in editor.text(), "keep")

    # A reference joins, and the marked blocks stay through the edit.
    reference = tmp_path / "reference.png"
    Image.new("RGB", (30, 20), "red").save(reference)
    editor.unfold("panel_references")
    editor.upload("references", reference)
    editor.wait(lambda: "Reference images (1 on)" in editor.text(), "the reference")
    editor.generate()
    assert editor.pictures() == 2
    assert editor.marked() == (*range(8), 12, 13, 14, 15)

    # What is downloaded says how it was made.
    editor.press("download")
    file = editor.wait(lambda: next(iter(tmp_path.glob("ufc-*.png")), None), "the download")
    said = read_metadata(io.BytesIO(file.read_bytes())).request
    assert said is not None
    assert said["request"]["preserve_blocks"] == [*range(8), 12, 13, 14, 15]
    assert len(said["request"]["reference_images"]) == 1
    editor.press("zip")
    archive = editor.wait(lambda: next(iter(tmp_path.glob("*.zip")), None), "the zip")
    assert "manifest.jsonl" in zipfile.ZipFile(archive).namelist()

    # After a reload all is as it was.
    marked = editor.marked()
    editor.open(editor.driver.current_url)
    editor.wait(lambda: editor.pictures() == 2 and editor.marked() == marked, "the reload")
    assert editor.all("textarea")[0].get_attribute("value") == "men's blue shirt"

    # The keyboard reaches the blocks.
    editor.tool("clear")
    editor.wait(lambda: editor.marked() == (), "clear")
    keys = """
    const event = new KeyboardEvent("keydown", {key: arguments[1], bubbles: true});
    arguments[0].dispatchEvent(event);
    """
    first = editor.inside("canvas", ".cell")[0]
    for key in ("ArrowDown", "ArrowRight", " "):
        editor.driver.execute_script(keys, first, key)
    editor.wait(lambda: editor.marked() == (5,), "the space bar")
    editor.tool("undo")
    editor.wait(lambda: editor.marked() == (), "undo")

    # A button of the marks is at once what a drag goes on from.
    editor.drag(0, 3)
    editor.settle()
    press_twice = """
    const [clear, cell] = arguments;
    clear.click();
    cell.dispatchEvent(new KeyboardEvent("keydown", {key: " ", bubbles: true}));
    """
    clear, cell = (editor.inside("canvas", one)[0] for one in ("[data-name=clear]", ".cell"))
    editor.driver.execute_script(press_twice, clear, cell)
    editor.settle()
    assert len(editor.marked()) == 1
    editor.tool("invert")
    editor.wait(lambda: len(editor.marked()) == 15, "invert")
    editor.tool("grow")
    editor.wait(lambda: len(editor.marked()) == 16, "grow")

    # Arrow keys choose between what is marked to change and to keep.
    (mode,) = editor.inside("canvas", "[role=radio][tabindex='0']")
    chosen = mode.get_attribute("data-name")
    editor.driver.execute_script(keys, mode, "ArrowRight")
    checked = "[role=radio][aria-checked=true]"
    editor.wait(
        lambda: editor.inside("canvas", checked)[0].get_attribute("data-name") != chosen, "a mode"
    )

    assert not [m for m in editor.driver.get_log("browser") if m["level"] == "SEVERE"]


def test_the_keyboard_stays_on_the_cards(editor: Editor, address: str) -> None:
    editor.driver.get(f"{address}/?lang=zh")
    copy = "button[data-act=duplicate]"
    (button,) = editor.wait(lambda: editor.inside("cards", copy), "the sessions")
    focus = button.get_attribute("data-focus")
    editor.driver.execute_script("arguments[0].focus(); arguments[0].click()", button)
    editor.wait(lambda: len(editor.inside("cards", copy)) == 2, "the copy")
    (focused,) = editor.inside("cards", "button:focus")
    assert focused.get_attribute("data-focus") == focus
    assert editor.driver.execute_script("return document.documentElement.lang") == "zh"
    editor.settle()
    (button,) = editor.inside("cards", f"[data-focus={focus.replace('duplicate', 'delete')}]")
    editor.driver.execute_script("arguments[0].focus(); arguments[0].click()", button)
    editor.wait(lambda: len(editor.inside("cards", "button[data-act=delete]")) == 1, "the rest")
    (focused,) = editor.inside("cards", "button:focus")
    assert focused.get_attribute("data-act") == "delete"
    editor.open(f"{address}/?s=new")


def test_nothing_is_asked_of_anybody_else(editor: Editor, address: str) -> None:
    editor.network()
    editor.open(editor.driver.current_url)
    editor.settle()
    assert browser.strangers(editor.network(), address) == []


def test_stop_keeps_what_there_is(editor: Editor, address: str) -> None:
    editor.open(f"{address}/?s=new")
    editor.type_prompt("women's red bag")
    editor.unfold("panel_settings")
    editor.unfold("panel_fine")
    for name in ("steps", "candidates", "pictures"):
        editor.slide_to_end(f"setting_{name}")
    # A slider is sent a moment after it was moved: the last of them comes last.
    editor.wait(lambda: "Generates 8 new pictures" in editor.text(), "the settings")
    editor.press("generate")
    # Two steps at least, or there is none to go back to.
    editor.wait(lambda: re.search(r"Step ([2-9]|\d\d) of", editor.note()), "two steps")
    # What is marked meanwhile is for the next drawing.
    editor.drag(0, 1)
    editor.press("stop")
    editor.wait(
        lambda: not editor.all(".st-key-stop") and editor.pictures() == 8, "the best so far"
    )
    editor.wait(lambda: "Regenerates 2 of 16 blocks, 8 times" in editor.text(), "the plan")
    assert editor.marked() == (0, 1)
    editor.tab(1)
    editor.wait(lambda: editor.all(".st-key-fork"), "the steps")


def test_the_page_fits_a_phone(editor: Editor, address: str) -> None:
    editor.resize(390, 844)
    editor.open(editor.driver.current_url)
    script = "return [document.documentElement.scrollWidth, innerWidth]"
    editor.settle()
    wide, screen = editor.driver.execute_script(script)
    assert wide <= screen
    board = editor.wait(lambda: editor.inside("canvas", ".board"), "the canvas")[0]
    assert board.rect["x"] >= 0
    assert board.rect["x"] + board.rect["width"] <= screen
    for button in editor.inside("canvas", ".bar button"):
        assert button.rect["x"] + button.rect["width"] <= screen
