"""What visitors ran into once, done again in a browser; a session of its own for each.

It takes minutes: `make nightly ARGS=browser` runs it, by UFC_SLOW_BROWSER=1.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("streamlit", reason="the editor's extra is not installed")
pytest.importorskip("selenium", reason="selenium is not installed")

import browser
from browser import Editor
from browser_pages import opened, served
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

pytestmark = [
    pytest.mark.skipif("UFC_SLOW_BROWSER" not in os.environ, reason="slow; see make nightly"),
    pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing())),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("editor")


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with served(folder) as address:
        yield address


@pytest.fixture(scope="module")
def window(address: str) -> Iterator[Editor]:
    with opened(address) as editor:
        yield editor


@pytest.fixture
def editor(window: Editor, address: str) -> Editor:
    """The page with a new session and one picture."""
    window.open(f"{address}/?s=new")
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
    chosen = ".st-key-setting_order_zh input:checked"
    editor.wait(lambda: len(editor.all(chosen)) == 1, "the order that is chosen")
    editor.generate()
    after = session_of(editor, folder)
    assert after["settings"] == before | {"lang": "zh", "seed": after["settings"]["seed"]}
    assert len(after["pictures"]) == 2


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


def test_the_canvas_lives_after_steps_and_history(editor: Editor) -> None:
    editor.tab(1)
    slider = editor.wait(lambda: editor.all("[class*=st-key-scrub] input[type=range]"), "steps")[0]
    editor.driver.execute_script("arguments[0].focus()", slider)
    ActionChains(editor.driver).send_keys(Keys.HOME).perform()
    editor.wait(lambda: editor.inside("canvas", ".fixed"), "the first step")
    editor.tab(0)
    editor.drag(3)
    editor.wait(lambda: editor.marked() == (3,), "a mark")


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
    editor.unfold("panel_settings")
    editor.unfold("panel_fine")
    for name in ("steps", "candidates", "pictures"):
        editor.slide_to_end(f"setting_{name}")
    editor.wait(lambda: "8 new pictures" in editor.text(), "the settings")
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


# The contrast of every piece of text that is seen to what is behind it, where it is below 4.5.
FAINT = """
const parse = (text) => {
  const canvas = (parse.canvas ??= new OffscreenCanvas(1, 1).getContext("2d"));
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = text;
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
};
const over = ([r, g, b, a], below) => [r, g, b].map((c, n) => c * a + below[n] * (1 - a));
const light = (rgb) => {
  const [r, g, b] = rgb.map((c) => (c /= 255) <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
  return .2126 * r + .7152 * g + .0722 * b;
};
const parent = (e) => e.assignedSlot ?? e.parentElement ?? e.getRootNode().host ?? null;
const chain = (e) => { const all = []; for (; e; e = parent(e)) all.unshift(e); return all; };
const check = (element, colour, text) => {
  const box = element.getBoundingClientRect();
  const seen = {checkOpacity: true, checkVisibilityCSS: true};
  if (!box.width || !box.height || !element.checkVisibility(seen)) return;
  if (element.closest(":disabled, [aria-disabled=true]")) return;
  if (element.closest("[data-testid=stIconMaterial], svg, [hidden]")) return;
  let back = [255, 255, 255], shown = 1;
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  for (const one of chain(element)) {
    const style = getComputedStyle(one), {left, right, top, bottom} = one.getBoundingClientRect();
    const behind = left <= x && x <= right && top <= y && y <= bottom; // a slider's value is beside
    if (behind || ["HTML", "BODY"].includes(one.tagName)) {
      back = over(parse(style.backgroundColor), back);
    }
    shown *= Number(style.opacity);
  }
  const [r, g, b, a] = parse(colour);
  const [one, two] = [light(over([r, g, b, a * shown], back)), light(back)].sort((x, y) => y - x);
  const ratio = (one + .05) / (two + .05);
  if (ratio < 4.5) faint.push(`${ratio.toFixed(2)} ${text.trim().slice(0, 40)}`);
};
const faint = [];
const walk = (root) => {
  for (const element of root.querySelectorAll("*")) {
    if (element.shadowRoot) walk(element.shadowRoot);
    const own = [...element.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data).join("");
    if (own.trim() && !["STYLE", "SCRIPT"].includes(element.tagName)) {
      check(element, getComputedStyle(element).color, own);
    }
    if (element.placeholder && !element.value) {
      check(element, getComputedStyle(element, "::placeholder").color, element.placeholder);
    }
  }
};
walk(document.body);
return faint;
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_word_can_be_read(window: Editor, address: str, scheme: str) -> None:
    features = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    window.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", features)
    try:
        window.open(f"{address}/?s=new")
        assert window.driver.execute_script(FAINT) == []  # the hint, the examples
        for panel in ("panel_references", "panel_own", "panel_settings", "panel_fine"):
            window.unfold(panel)
        window.type_prompt("men's blue shirt")
        window.generate()
        window.drag(0, 1)
        window.settle()
        assert window.driver.execute_script(FAINT) == []
    finally:
        window.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
