"""What leaves the page, and what is gone on from, is what is seen: pixel by pixel.

It takes a minute: `make nightly ARGS=browser` runs it, by UFC_SLOW_BROWSER=1.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_VQGAN, picture
from PIL import Image
from toy_upscaler import toy_upscaler

pytest.importorskip("streamlit", reason="the editor's extra is not installed")
pytest.importorskip("selenium", reason="selenium is not installed")

import browser
from browser import Editor
from browser_pages import (  # noqa: F401
    download,
    editor,
    folder,
    give,
    path_of,
    press,
    served,
    session_of,
    window,
)
from selenium.webdriver.common.keys import Keys

pytestmark = [
    pytest.mark.skipif("UFC_SLOW_BROWSER" not in os.environ, reason="slow; see make nightly"),
    pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing())),
]

SIZE = (96, 72)  # of the photograph; the model has 16 x 16, in 4 x 4 blocks
BLOCK = 24  # its pixels a block, with as much above and below the photograph as makes it square
NEAR = 12  # levels a pixel may differ by through JPEG and two changes of size


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with served(folder, toy_upscaler()) as address:
        yield address


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"), np.int16)


def on_the_canvas(editor: Editor) -> np.ndarray:
    """What the canvas shows, at the model's size."""
    (image,) = editor.inside("canvas", ".sheet img")
    data = image.get_attribute("src").partition(",")[2]
    shown = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
    return np.asarray(shown.resize(TINY_VQGAN.size[::-1], Image.Resampling.BOX), np.int16)


def differ(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).mean())


def to_the_first_step(editor: Editor) -> None:
    editor.tab(1)
    slider = editor.wait(lambda: editor.all("[class*=st-key-scrub] input[type=range]"), "steps")[0]
    editor.driver.execute_script("arguments[0].focus()", slider)
    press(editor, Keys.HOME)
    editor.wait(lambda: editor.inside("canvas", ".fixed"), "the first step")
    editor.settle()


def test_a_step_that_is_seen_is_what_is_downloaded_and_gone_on_from(
    editor: Editor, folder: Path, tmp_path: Path
) -> None:
    finished = pixels(download(editor, tmp_path / "finished"))
    assert differ(finished, on_the_canvas(editor)) < NEAR
    editor.drag(0)
    editor.wait(lambda: editor.marked() == (0,), "a mark")
    to_the_first_step(editor)
    step = pixels(download(editor, tmp_path / "step"))
    assert differ(step, on_the_canvas(editor)) < NEAR < differ(step, finished)
    editor.press("generate")
    editor.wait(lambda: len(session_of(editor, folder)["pictures"]) == 3, "the edit")
    first, seen, edited = session_of(editor, folder)["pictures"]
    assert (seen["kind"], seen["parent"], edited["parent"]) == ("step", first["id"], seen["id"])
    assert (pixels(path_of(editor, folder) / seen["file"]) == step).all()
    made = pixels(path_of(editor, folder) / edited["file"])
    made[:4, :4] = step[:4, :4]  # the marked block
    assert (made == step).all()


@pytest.mark.parametrize("way", ["drop", "upload"])
def test_an_edited_photograph_is_downloaded_at_its_own_size(
    window: Editor, address: str, tmp_path: Path, way: str
) -> None:
    window.open(f"{address}/?s=new")
    photo = tmp_path / "photo.png"
    picture(1, SIZE).save(photo)
    if way == "drop":
        give(window, "drop", photo.name, photo.read_bytes())
    else:
        window.unfold("panel_own")
        window.upload("own", photo)
    window.wait(lambda: window.pictures() == 1, "the photograph")
    window.type_prompt("men's blue shirt")
    window.drag(5)
    window.wait(lambda: window.marked() == (5,), "the mark")
    window.generate()
    before, after = pixels(photo), pixels(download(window, tmp_path / "edited"))
    assert after.shape == before.shape == (*SIZE[::-1], 3)
    down, across = np.nonzero((before != after).any(-1))
    above = (SIZE[0] - SIZE[1]) // 2
    assert len(down) > 0
    assert across.min() >= BLOCK and across.max() < 2 * BLOCK
    assert BLOCK - above <= down.min() and down.max() < 2 * BLOCK - above


def test_a_picture_is_downloaded_larger(editor: Editor, tmp_path: Path) -> None:
    small = Image.open(download(editor, tmp_path / "small"))
    large = Image.open(download(editor, tmp_path / "large", "download_larger"))
    assert large.size == (2 * small.width, 2 * small.height)
    again = np.asarray(large.resize(small.size, Image.Resampling.BOX), np.int16)
    assert differ(again, np.asarray(small, np.int16)) < differ(again, again[::-1])
