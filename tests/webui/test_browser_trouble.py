"""What goes wrong beside the page is said in it: files that are gone, a server that ends, another
window, files that are none. A session of its own for each.

It takes minutes: `make nightly ARGS=browser` runs it, by UFC_SLOW_BROWSER=1.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import picture

pytest.importorskip("streamlit", reason="the editor's extra is not installed")
pytest.importorskip("selenium", reason="selenium is not installed")

import browser
from browser import Editor, Server
from browser_pages import (  # noqa: F401
    editor,
    folder,
    give,
    is_whole,
    path_of,
    save_tiny,
    says,
    session_of,
    take_long,
    window,
)

pytestmark = [
    pytest.mark.skipif("UFC_SLOW_BROWSER" not in os.environ, reason="slow; see make nightly"),
    pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing())),
]

LONGEST_TOAST = 8000  # ms


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    server = Server(folder / "out", "--model", str(save_tiny(folder)))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def address(server: Server) -> str:
    return server.address


def test_a_missing_picture_is_said_and_left_out(editor: Editor, folder: Path) -> None:
    editor.generate()
    (path_of(editor, folder) / "pictures" / "0001.png").unlink()
    editor.tab(1)
    says(editor, "Files of this session missing on the disk: 1.")
    editor.tab(0)
    editor.wait(lambda: editor.pictures() == 1, "the history")
    assert is_whole(editor)
    (path_of(editor, folder) / "pictures" / "0002.png").unlink()  # the one on the canvas
    editor.tab(1)
    editor.tab(0)
    editor.wait(lambda: "Write a few words" in editor.note(), "the empty canvas")
    assert is_whole(editor)
    editor.generate()


DOINGS: dict[str, Callable[[Editor], None]] = {
    "generate": lambda editor: editor.press("generate"),
    "mark": lambda editor: editor.drag(0, 1),
    "look": lambda editor: editor.tab(1),
    "repair": lambda editor: editor.press("repair"),
}


@pytest.mark.parametrize("doing", DOINGS)
def test_a_deleted_session_is_said_and_the_page_goes_on(
    editor: Editor, folder: Path, doing: str
) -> None:
    shutil.rmtree(path_of(editor, folder))
    DOINGS[doing](editor)
    said = re.compile("That session is not here any more|Files of this session missing")
    editor.wait(lambda: said.search(editor.text()), "what is gone")
    editor.settle()
    assert is_whole(editor)
    editor.wait(lambda: not editor.all(".st-key-stop"), "what was begun")
    editor.tab(0)
    editor.type_prompt("men's blue shirt")
    editor.generate()
    assert is_whole(editor)


def test_two_windows_do_not_overwrite_each_other(editor: Editor, folder: Path) -> None:
    driver, address = editor.driver, editor.driver.current_url
    first = driver.current_window_handle
    driver.switch_to.new_window("tab")
    try:
        editor.open(address)
        editor.type_prompt("women's red bag")
        editor.drag(3)
        editor.wait(lambda: session_of(editor, folder)["view"]["marks"] == [3], "a mark")
        second = driver.current_window_handle
        driver.switch_to.window(first)
        editor.drag(5)
        says(editor, "so what you just did was not done")
        editor.wait(lambda: editor.marked() == (3,), "what the other window marked")
        words = editor.all("textarea")[0]
        editor.wait(lambda: words.get_attribute("value") == "women's red bag", "its words")
        assert session_of(editor, folder)["view"]["marks"] == [3]
        editor.drag(5)
        editor.wait(lambda: session_of(editor, folder)["view"]["marks"] == [3, 5], "both")
        driver.switch_to.window(second)
        editor.press("generate")
        says(editor, "so what you just did was not done")
        editor.wait(lambda: editor.marked() == (3, 5), "what the first window marked")
        assert len(session_of(editor, folder)["pictures"]) == 1
    finally:
        for other in {*driver.window_handles} - {first}:
            driver.switch_to.window(other)
            driver.close()
        driver.switch_to.window(first)


def test_a_drawing_that_a_restart_cut_off_is_said(
    editor: Editor, server: Server, folder: Path
) -> None:
    take_long(editor)
    editor.press("generate")
    editor.wait(lambda: re.search(r"Step \d+ of", editor.note()), "a step")
    server.kill()
    server.start()
    editor.open(editor.driver.current_url)
    says(editor, "The server stopped before what was asked for was finished")
    editor.wait(lambda: editor.pictures() == 1, "the picture that was finished")
    assert is_whole(editor)
    assert not editor.all(".st-key-stop")
    editor.open(editor.driver.current_url)
    assert "The server stopped" not in editor.text()  # said once


def test_a_picture_from_here_that_is_dropped_says_that_its_seed_is_kept(
    editor: Editor, folder: Path
) -> None:
    editor.unfold("panel_settings")
    locked = ".st-key-setting_seed_locked input"
    assert not editor.all(locked)[0].is_selected()
    data = (path_of(editor, folder) / "pictures" / "0001.png").read_bytes()
    give(editor, "drop", "ufc-0001.png", data)
    says(editor, "Its seed is kept: untick “Keep this seed” for another picture.")
    editor.wait(lambda: editor.all(locked)[0].is_selected(), "the lock")
    editor.click(".st-key-setting_seed_locked label")
    editor.wait(lambda: not session_of(editor, folder)["settings"]["seed_locked"], "to unlock it")
    editor.generate()
    first, _, last = session_of(editor, folder)["pictures"]
    assert last["seed"] != first["seed"]


@pytest.mark.parametrize(
    ("panel", "uploader"),
    [("panel_own", "own"), ("panel_references", "references"), ("panel_marks", "mask")],
)
def test_a_file_that_is_no_picture_is_refused_with_a_reason(
    editor: Editor, tmp_path: Path, panel: str, uploader: str
) -> None:
    notes = tmp_path / f"{uploader}.txt"
    notes.write_text("no picture")
    editor.unfold(panel)
    editor.upload(uploader, notes)
    says(editor, f"{uploader}.txt cannot be used: ")
    assert is_whole(editor)
    assert editor.pictures() == 1


def test_the_name_of_a_file_does_not_matter(editor: Editor, tmp_path: Path) -> None:
    photo = tmp_path / "photo.txt"
    picture(1, (40, 40)).save(photo, "PNG")
    editor.unfold("panel_own")
    editor.upload("own", photo)
    editor.wait(lambda: editor.pictures() == 2, "the picture")


# When toasts were there, by the page's own clock, which does not wait for the test's.
WATCH_TOASTS = """
const seen = window.toasts = {first: null, last: null};
const look = () => {
  if (!document.querySelector("[data-testid=stToast]")) return;
  seen.first ??= performance.now();
  seen.last = performance.now();
};
window.watch = setInterval(look, 50);
"""
# What a click goes to at each control that lies under a toast.
UNDER_TOASTS = """
const toast = document.querySelector("[data-testid=stToast]");
const box = toast.getBoundingClientRect();
const controls = document.querySelectorAll("button, input, label, a, [role=tab]");
const under = [...controls].filter((control) => {
  const {x, y, width, height} = control.getBoundingClientRect();
  control.at = [x + width / 2, y + height / 2];
  return !toast.contains(control) && width && control.at[0] > box.left && control.at[0] < box.right
    && control.at[1] > box.top && control.at[1] < box.bottom;
});
return [
  under.length,
  under.filter((control) => toast.contains(document.elementFromPoint(...control.at)))
    .map((control) => control.outerHTML),
];
"""


def test_messages_are_in_nobodys_way_and_go_soon(editor: Editor) -> None:
    editor.driver.execute_script(WATCH_TOASTS)
    give(editor, "drop", "notes.png", b"no picture")
    says(editor, "notes.png cannot be used")
    under, covered = editor.driver.execute_script(UNDER_TOASTS)
    assert under and not covered
    editor.tab(1)  # one of those under it
    toast = "[data-testid=stToast]"
    editor.wait(lambda: not editor.all(toast), "the message to go")
    seen = editor.driver.execute_script("clearInterval(window.watch); return window.toasts")
    assert 1000 < seen["last"] - seen["first"] <= LONGEST_TOAST
