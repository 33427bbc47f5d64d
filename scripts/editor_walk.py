"""The minute's walk of docs/editor.md: from words to a changed picture, as a moving picture.

    python scripts/editor_walk.py

A headless Chromium does what a visitor does, with the bundled model, and is looked at meanwhile.
"""

from __future__ import annotations

import io
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from browser import PATIENCE, Editor
from editor_screenshots import DOCS, choose, rest, visiting
from PIL import Image

SHOWN = 960  # pixels across
QUALITY = 55
READ, LOOK, GLANCE = 4.0, 2.5, 0.4  # seconds that a frame is shown


@dataclass
class Film:
    """What was seen, and for how long each frame is shown."""

    editor: Editor
    frames: list[Image.Image] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def shoot(self, seconds: float) -> None:
        """Take a frame; one that shows nothing new makes the last one longer."""
        with Image.open(io.BytesIO(self.editor.driver.get_screenshot_as_png())) as shot:
            size = SHOWN, round(shot.height * SHOWN / shot.width)
            frame = shot.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        if self.frames and frame.tobytes() == self.frames[-1].tobytes():
            self.seconds[-1] += seconds
            return
        self.frames.append(frame)
        self.seconds.append(seconds)

    def generate(self) -> None:
        """Press the button, and watch."""
        before, end = self.editor.pictures(), time.monotonic() + PATIENCE
        self.editor.press("generate")
        while self.editor.all(".st-key-stop") or self.editor.pictures() == before:
            if time.monotonic() > end:
                raise TimeoutError(f"no picture in {PATIENCE} s; the page: {self.editor.text()}")
            self.shoot(GLANCE)
            time.sleep(0.15)
        self.editor.settle()
        rest(self.editor)
        self.shoot(READ)

    def save(self, path: Path) -> None:
        first, *others = self.frames
        first.save(
            path,
            "WEBP",
            save_all=True,
            append_images=others,
            duration=[round(1000 * seconds) for seconds in self.seconds],
            loop=0,
            quality=QUALITY,
            method=4,
        )


def main(editor: Editor) -> None:
    """Walk and write the file."""
    film, path = walk(editor), DOCS / "editor-walk.webp"
    film.save(path)
    length, size = sum(film.seconds), path.stat().st_size // 1000
    print(f"{path}  {len(film.frames)} frames, {length:.0f} s, {size} kB")


def walk(editor: Editor) -> Film:
    """Words, a picture; a part changed; a closer look; what is kept and what is new; another."""
    film = Film(editor)
    film.shoot(LOOK)
    for words in ("women's red", "women's red handbag"):
        editor.type_prompt(words)
        film.shoot(1.0)
    film.generate()
    editor.drag(0, 11, 23, 12, 24, 35, 47, 36)
    editor.wait(lambda: "Regenerates 48 of 192 blocks" in editor.text(), "the plan")
    film.shoot(READ)
    film.generate()
    for _ in range(3):
        editor.tool("larger")
        film.shoot(1.0)
    film.shoot(LOOK)
    editor.tool("whole")
    choose(editor, "layer_en", "Origin")
    rest(editor)
    film.shoot(READ)
    choose(editor, "layer_en", "Picture")
    editor.type_prompt("men's brown leather shoes")
    film.shoot(1.0)
    editor.tool("clear")
    film.generate()
    return film


if __name__ == "__main__":
    sys.exit(visiting(main))
