"""The screenshots of docs/editor.md: a visit with the bundled model, in a headless Chromium.

    python scripts/editor_screenshots.py

Every picture that is to be seen on them was drawn by the model itself.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from browser import Editor, missing, serving
from PIL import Image

DOCS = Path(__file__).parent.parent / "docs"
WIDE, PHONE = 1440, 390
LARGEST = 300_000  # bytes of one screenshot


def main() -> int:
    """Take all of them; returns the exit code."""
    reason = missing()
    if reason:
        print(f"error: {reason}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "out") as address:
        editor = Editor(address)
        try:
            visit(editor)
        finally:
            editor.close()
    return 0


def visit(editor: Editor) -> None:
    """A picture, six to choose from, an edit, its check, and the same on a phone."""
    editor.type_prompt("women's red handbag")
    editor.unfold("panel_settings")
    editor.wait(lambda: editor.all(".st-key-preset button"), "the presets")
    choose(editor, "preset", "Explore")
    editor.unfold("panel_settings")
    editor.generate()
    editor.drag(0, 7, 15, 8, 16, 23)
    editor.wait(lambda: "Redraws 24 of 64 blocks" in editor.text(), "the plan")
    rest(editor)
    shoot(editor, "editor-edit.png", WIDE)
    editor.generate()
    choose(editor, "layer", "Origin")
    editor.tab(3)
    editor.wait(lambda: editor.all("[data-testid=stDataFrame]"), "the check")
    rest(editor)
    shoot(editor, "editor-check.png", WIDE)
    choose(editor, "layer", "Picture")
    editor.tab(0)
    choose(editor, "setting_lang", "中文")
    rest(editor)
    shoot(editor, "editor-phone.png", PHONE)


def choose(editor: Editor, key: str, label: str) -> None:
    """Press the button with this label."""
    buttons = editor.all(f".st-key-{key} button")
    next(button for button in buttons if button.text.strip() == label).click()
    editor.settle()


def rest(editor: Editor) -> None:
    """Take the pointer away, and with it tooltips and the look of what it is over."""
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(editor.driver).move_by_offset(0, 0).reset_actions()
    ActionChains(editor.driver).move_to_element_with_offset(
        editor.all("[data-testid=stApp]")[0], 0, 480
    ).perform()
    editor.driver.execute_script("document.activeElement?.blur()")
    editor.settle()


def shoot(editor: Editor, name: str, width: int) -> None:
    """Take one, with fewer colours where it would be too large."""
    path = DOCS / name
    editor.screenshot(path, width)
    if path.stat().st_size > LARGEST:
        with Image.open(path) as shot:
            shot.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    editor.resize(WIDE, 1000)
    print(f"{path}  {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    sys.exit(main())
