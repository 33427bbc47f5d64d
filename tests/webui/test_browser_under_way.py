"""A slow drawing with others behind it: time left, Stop all, and what was stopped looks so.

It takes a minute: `make nightly ARGS=browser` runs it, by UFC_SLOW_BROWSER=1.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

pytest.importorskip("streamlit", reason="the editor's extra is not installed")
pytest.importorskip("selenium", reason="selenium is not installed")

import browser
from browser import Editor
from browser_pages import (  # noqa: F401
    address,
    folder,
    is_whole,
    says,
    session_of,
    take_long,
    window,
)

pytestmark = [
    pytest.mark.skipif("UFC_SLOW_BROWSER" not in os.environ, reason="slow; see make nightly"),
    pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing())),
]

WORDS = {
    "en": {
        "waits": "Then: {}",
        "time": r"done in about \d+ s",
        "second step": r"Step ([2-9]|\d\d) of",
        "caption": "stopped",
        "stopped": r"Stopped after step \d+: it is not finished\.",
    },
    "zh": {
        "waits": "接下来：{}",
        "time": r"约 \d+ 秒后完成",
        "second step": r"第 ([2-9]|\d\d) 步",
        "caption": "已停止",
        "stopped": r"在第 \d+ 步停止：尚未完成。",
    },
}


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_stop_all_ends_what_is_drawn_and_what_waits(
    window: Editor, address: str, folder: Path, lang: str
) -> None:
    said = WORDS[lang]
    window.open(f"{address}/?s=new&lang={lang}")
    window.type_prompt("men's blue shirt")
    take_long(window)
    window.press("generate")
    window.wait(lambda: window.all(".st-key-stop"), "the first")
    for words in ("red bag", "green bag"):
        window.type_prompt(words)
        window.press("generate")
        says(window, said["waits"].format(words))
    window.wait(lambda: len(re.findall(said["time"], window.text())) == 2, "the time left for both")
    window.wait(lambda: re.search(said["second step"], window.note()), "two steps")
    window.press("stop_all")
    window.wait(lambda: not window.all(".st-key-stop"), "the end")
    window.settle()
    assert is_whole(window)
    pictures = session_of(window, folder)["pictures"]
    assert {one["request"]["prompt"] for one in pictures} == {"men's blue shirt"}
    assert all(one["stopped"] for one in pictures)

    assert window.pictures() == len(pictures) == 8
    assert re.search(said["stopped"], window.text())
    assert len(window.inside("gallery", ".item.stopped")) == 8
    (look, *_) = window.inside("gallery", ".item.stopped .pick img")
    assert look.value_of_css_property("border-top-style") == "dashed"
    assert said["caption"] in window.inside("gallery", ".item.stopped .caption")[0].text
