"""What visitors ran into once, done again in a browser; a session of its own for each.

It takes minutes: `make nightly ARGS=browser` runs it, by UFC_SLOW_BROWSER=1.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

pytest.importorskip("streamlit", reason="the editor's extra is not installed")
pytest.importorskip("selenium", reason="selenium is not installed")

import browser
from browser import Editor
from browser_pages import (  # noqa: F401
    address,
    editor,
    folder,
    press,
    session_of,
    speak,
    take_long,
    window,
)
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from webui.strings import strings

pytestmark = [
    pytest.mark.skipif("UFC_SLOW_BROWSER" not in os.environ, reason="slow; see make nightly"),
    pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing())),
]


def test_another_language_changes_words_alone(editor: Editor, folder: Path) -> None:
    editor.unfold("panel_fine")
    before = session_of(editor, folder)["settings"]
    speak(editor, "中文")
    chosen = ".st-key-setting_order_zh input:checked"
    editor.wait(lambda: len(editor.all(chosen)) == 1, "the order that is chosen")
    editor.generate()
    after = session_of(editor, folder)
    assert after["settings"] == before | {"lang": "zh", "seed": after["settings"]["seed"]}
    assert len(after["pictures"]) == 2


def test_after_another_language_the_keyboard_and_the_examples_generate(
    window: Editor, address: str, folder: Path
) -> None:
    window.open(f"{address}/?s=new")
    window.type_prompt("men's blue shirt")
    speak(window, "中文")
    press(window, Keys.CONTROL, Keys.ENTER)
    window.wait(lambda: window.pictures() == 1 and not window.all(".st-key-stop"), "a picture")
    window.open(f"{address}/?s=new")
    speak(window, "中文")
    window.click(".st-key-examples_zh button")
    window.wait(lambda: window.pictures() == 1 and not window.all(".st-key-stop"), "the example")
    (drawn,) = session_of(window, folder)["pictures"]
    assert drawn["request"]["prompt"] == strings("zh")["example_1"]


def test_the_keyboard_generates_after_a_drag_and_undoes_from_anywhere(editor: Editor) -> None:
    editor.drag(0, 1)
    editor.wait(lambda: "Regenerates 2 of 16 blocks" in editor.text(), "the plan")
    press(editor, Keys.CONTROL, Keys.ENTER)
    editor.wait(lambda: editor.pictures() == 2 and not editor.all(".st-key-stop"), "a picture")
    editor.settle()
    assert editor.marked() == (0, 1)
    editor.driver.execute_script("document.activeElement?.blur()")
    press(editor, Keys.CONTROL, "z")  # the picture
    press(editor, Keys.CONTROL, "z")  # the marks
    editor.wait(lambda: editor.marked() == (), "undo")
    press(editor, Keys.CONTROL, Keys.SHIFT, "z")
    editor.wait(lambda: editor.marked() == (0, 1), "redo")
    editor.all("textarea")[0].click()
    press(editor, Keys.CONTROL, "z")  # of the words, and of nothing else
    editor.settle()
    assert editor.marked() == (0, 1)


def test_redo_comes_back_from_the_empty_canvas(editor: Editor) -> None:
    editor.tool("undo")
    editor.wait(lambda: "Write a few words" in editor.note(), "the empty canvas")
    editor.tool("redo")
    editor.wait(lambda: editor.inside("canvas", ".ready"), "the picture")


def test_looking_at_an_old_picture_leaves_what_can_be_redone(editor: Editor) -> None:
    editor.generate()
    for _ in range(2):
        editor.tool("undo")
        editor.settle()
    editor.wait(lambda: "Write a few words" in editor.note(), "the empty canvas")
    editor.inside("gallery", ".pick")[1].click()
    editor.wait(lambda: editor.inside("canvas", ".ready"), "the first picture")
    for number in ("0001", "0002"):
        editor.tool("redo")
        shown = f".item.shown [data-focus=pick-{number}]"
        editor.wait(lambda shown=shown: editor.inside("gallery", shown), number)
        editor.settle()


def test_the_canvas_lives_after_steps_and_history(editor: Editor) -> None:
    editor.tab(1)
    slider = editor.wait(lambda: editor.all("[class*=st-key-scrub] input[type=range]"), "steps")[0]
    editor.driver.execute_script("arguments[0].focus()", slider)
    ActionChains(editor.driver).send_keys(Keys.HOME).perform()
    editor.wait(lambda: editor.inside("canvas", ".fixed"), "the first step")
    editor.tab(0)
    editor.drag(3)
    editor.wait(lambda: editor.marked() == (3,), "a mark")


def test_all_blocks_marked_is_said_so(editor: Editor) -> None:
    assert "Nothing marked" in editor.note()
    editor.tool("rectangle")
    editor.drag(0, 15)
    editor.wait(lambda: editor.note().startswith("All 16 blocks are marked"), "the note")
    assert "Nothing marked" not in editor.text()


def test_joining_marks_the_seam_and_no_more(editor: Editor) -> None:
    editor.generate()
    editor.tool("rectangle")
    editor.drag(0, 11)
    editor.wait(lambda: editor.marked() == tuple(range(12)), "the upper three rows")
    editor.settle()
    editor.tab(2)
    editor.press("cross")
    editor.wait(lambda: editor.marked() == (8, 9, 10, 11), "the seam")


def test_steps_in_the_settings_and_on_the_shelf_have_their_own_help(editor: Editor) -> None:
    tips = "[data-testid=stTooltipContent]"

    def point_at(selector: str) -> None:
        element = editor.wait(lambda: editor.all(selector), selector)[0]
        editor.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        ActionChains(editor.driver).move_to_element(element).perform()

    def says(slider: str, words: str) -> bool:
        """Point at its help, from elsewhere; a panel just opened may move on under the mouse."""
        point_at("h1")
        editor.wait(lambda: not editor.all(tips), "the help before it to go")
        point_at(f"{slider} [data-testid=stTooltipIcon]")
        time.sleep(0.5)
        return "".join(tip.text for tip in editor.all(tips)) == words

    own, other = strings("en")["steps_help"], strings("en")["steps_scrub_help"]
    editor.unfold("panel_settings")
    editor.wait(lambda: says(".st-key-setting_steps", own), own)
    editor.tab(1)
    editor.wait(lambda: says("[class*=st-key-scrub_]", other), other)


def test_the_page_says_its_language_and_has_one_title(editor: Editor) -> None:
    said = "return [document.documentElement.lang, document.querySelectorAll('h1').length]"
    assert editor.driver.execute_script(said) == ["en", 1]
    speak(editor, "中文")
    editor.wait(lambda: editor.driver.execute_script(said) == ["zh-CN", 1], "the language")


def fingers(editor: Editor, kind: str, *blocks: int) -> None:
    """One touch event of as many fingers as there are blocks."""
    cells = editor.inside("canvas", ".cell")
    where = """
    const box = arguments[0].getBoundingClientRect();
    return [box.x + box.width / 2, box.y + box.height / 2];
    """
    places = [editor.driver.execute_script(where, cells[block]) for block in blocks]
    points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
    event = {"type": kind, "touchPoints": points}
    editor.driver.execute_cdp_cmd("Input.dispatchTouchEvent", event)


def test_a_tap_marks_and_a_swipe_or_a_pinch_does_not(editor: Editor) -> None:
    editor.resize(390, 844)
    editor.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    try:
        cells = editor.wait(lambda: editor.inside("canvas", ".ready .cell"), "the canvas")
        editor.driver.execute_script("arguments[0].scrollIntoView({block: 'start'})", cells[0])
        height = "return document.querySelector('[data-testid=stMain]').scrollTop"
        before = editor.driver.execute_script(height)
        fingers(editor, "touchStart", 13)
        for block in (9, 5, 1):
            fingers(editor, "touchMove", block)
        fingers(editor, "touchEnd")
        editor.wait(lambda: editor.driver.execute_script(height) != before, "the page to scroll")
        assert editor.marked() == ()
        editor.driver.execute_script("arguments[0].scrollIntoView({block: 'start'})", cells[0])
        fingers(editor, "touchStart", 5)
        fingers(editor, "touchStart", 5, 10)
        fingers(editor, "touchMove", 1, 14)
        fingers(editor, "touchEnd")
        assert editor.marked() == ()
        editor.driver.execute_cdp_cmd("Emulation.setPageScaleFactor", {"pageScaleFactor": 1})
        editor.driver.execute_script("arguments[0].scrollIntoView({block: 'start'})", cells[0])
        fingers(editor, "touchStart", 5)
        fingers(editor, "touchEnd")
        editor.wait(lambda: editor.marked() == (5,), "a tap")
    finally:
        editor.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
        editor.resize(1440, 1000)


def test_what_is_asked_for_meanwhile_waits_and_can_be_taken_out(
    editor: Editor, folder: Path
) -> None:
    take_long(editor)
    editor.press("generate")
    editor.wait(lambda: editor.all(".st-key-stop"), "the first")
    for words in ("a red bag", "a green bag"):
        editor.type_prompt(words)
        editor.press("generate")
        editor.wait(lambda words=words: f"Then: {words}" in editor.text(), words)
    waiting = editor.all("[class*=st-key-cancel_] button")
    assert len(waiting) == 2
    waiting[0].click()
    editor.wait(lambda: "a red bag" not in editor.text(), "one less")
    editor.press("stop")
    editor.wait(lambda: editor.pictures() == 9 and "Then:" not in editor.text(), "the next")
    editor.press("stop")
    editor.wait(lambda: not editor.all(".st-key-stop"), "the end")
    asked = [one["request"].get("prompt") for one in session_of(editor, folder)["pictures"]]
    assert asked == ["men's blue shirt"] * 9 + ["a green bag"] * 8


def test_an_enlarged_picture_is_moved_and_marked_where_it_is_seen(editor: Editor) -> None:
    where = "const b = arguments[0].getBoundingClientRect(); return [b.x, b.y, b.width]"
    cells = editor.wait(lambda: editor.inside("canvas", ".ready .cell"), "the canvas")
    board = editor.inside("canvas", ".board")[0]
    small = editor.driver.execute_script(where, cells[0])[2]
    for _ in range(2):
        editor.tool("larger")
    assert editor.driver.execute_script(where, cells[0])[2] == pytest.approx(2.25 * small, rel=0.02)
    editor.drag(5)
    editor.wait(lambda: editor.marked() == (5,), "a mark")
    editor.tool("hand")
    before = editor.driver.execute_script(where, cells[5])
    ActionChains(editor.driver).move_to_element(board).click_and_hold().move_by_offset(
        -40, -30
    ).release().perform()
    after = editor.driver.execute_script(where, cells[5])
    assert [after[0] - before[0], after[1] - before[1]] == pytest.approx([-40, -30], abs=2)
    assert editor.marked() == (5,)
    editor.driver.execute_script("arguments[0].focus({preventScroll: true})", cells[0])
    for _ in range(3):
        ActionChains(editor.driver).send_keys(Keys.ARROW_RIGHT).perform()
    seen, frame = (editor.driver.execute_script(where, one) for one in (cells[3], board))
    assert seen[0] + seen[2] <= frame[0] + frame[2] + 2  # the keyboard brings blocks into sight
    ActionChains(editor.driver).send_keys("0").perform()
    assert editor.driver.execute_script(where, cells[0])[2] == pytest.approx(small, rel=0.02)
    assert not editor.inside("canvas", ".enlarged")
