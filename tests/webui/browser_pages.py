"""The editor of a tiny model in a browser, for the tests that need one."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from browser import Editor, serving
from conftest import make_pipeline
from selenium.webdriver.common.action_chains import ActionChains

from vqgan.upscaling.model import Upscaler

# Files come in by hand: dropped on an element, or pasted.
DROP = """
const [target, type, name, data] = arguments;
const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
const transfer = new DataTransfer();
transfer.items.add(new File([bytes], name, {type: "image/png"}));
const event = type === "drop"
  ? new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true})
  : new ClipboardEvent("paste", {clipboardData: transfer, bubbles: true, cancelable: true});
target.dispatchEvent(event);
"""


def save_tiny(folder: Path, upscaler: Upscaler | None = None, **changes: object) -> Path:
    """A tiny model in a folder of its own; `changes` are of its sizes."""
    pipe = make_pipeline(**changes)
    pipe.upscaler = upscaler
    pipe.save_pretrained(folder / "tiny")
    return folder / "tiny"


@contextmanager
def served(folder: Path, upscaler: Upscaler | None = None, **changes: object) -> Iterator[str]:
    """The address of the page; sessions lie in `folder/out`. See `save_tiny` for the model."""
    model = save_tiny(folder, upscaler, **changes)
    with serving(folder / "out", "--model", str(model)) as address:
        yield address


@contextmanager
def opened(address: str) -> Iterator[Editor]:
    """A browser with the page."""
    editor = Editor(address)
    try:
        yield editor
    finally:
        editor.close()


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


def path_of(editor: Editor, folder: Path) -> Path:
    """Where the session lies that the page shows."""
    return folder / "out" / "sessions" / editor.driver.current_url.split("s=")[1][:24]


def session_of(editor: Editor, folder: Path) -> dict[str, Any]:
    """That session as it was written down."""
    text = (path_of(editor, folder) / "session.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def says(editor: Editor, words: str) -> None:
    """Wait until the page says something, in whatever place."""
    editor.wait(lambda: words in editor.text(), words)


def is_whole(editor: Editor) -> bool:
    """Whether no box with an error is in the page, neither the framework's own nor one of ours."""
    return not editor.all("[data-testid=stException], [data-testid=stAlertContentError]")


def speak(editor: Editor, language: str) -> None:
    """Switch to Chinese, by the button that says so."""
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


def give(editor: Editor, type: str, name: str, data: bytes) -> None:
    """Drop a file on the canvas, or paste it."""
    target = editor.inside("canvas", ".board")[0] if type == "drop" else editor.all("body")[0]
    editor.driver.execute_script(DROP, target, type, name, base64.b64encode(data).decode())


def download(editor: Editor, folder: Path, key: str = "download") -> Path:
    """Press a button for a file, and wait for what comes into an empty folder."""
    folder.mkdir()
    downloads = {"behavior": "allow", "downloadPath": str(folder)}
    editor.driver.execute_cdp_cmd("Browser.setDownloadBehavior", downloads)
    editor.settle()
    editor.press(key)
    return Path(editor.wait(lambda: next(folder.glob("ufc-*.png"), None), "the download"))


def take_long(editor: Editor) -> None:
    """Set all that makes the next drawing slow."""
    editor.unfold("panel_settings")
    editor.unfold("panel_fine")
    for name in ("steps", "candidates", "pictures"):
        editor.slide_to_end(f"setting_{name}")
    plans = ("8 new pictures", "8 张新图")
    editor.wait(lambda: any(plan in editor.text() for plan in plans), "the settings")
