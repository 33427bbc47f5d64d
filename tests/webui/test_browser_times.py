"""The script that times what a visitor waits for, with a tiny model.

`make nightly ARGS=browser` runs it, by UFC_SLOW_BROWSER=1.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("streamlit", reason="the editor's extra is not installed")
pytest.importorskip("selenium", reason="selenium is not installed")

import browser
import editor_times
from browser_pages import address, folder  # noqa: F401

pytestmark = [
    pytest.mark.skipif("UFC_SLOW_BROWSER" not in os.environ, reason="slow; see make nightly"),
    pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing())),
]


def test_a_picture_is_seen_after_the_click_and_after_its_first_preview(
    address: str, folder: Path
) -> None:
    times = editor_times.waits(address, 2)
    assert len(times) == 2
    assert all(0 < preview <= picture < browser.PATIENCE for preview, picture in times)
    model = editor_times.model_times(folder / "out")
    assert len(model) == 3  # with the one for warming up
    assert all(0 < seconds < browser.PATIENCE for seconds in model)
