"""The minute's walk of docs/editor.md, from all sessions to a changed photograph, in motion.

    python scripts/editor_walk.py

A headless Chromium does what a visitor does, with the bundled model, and is looked at meanwhile.
The photograph is a picture of the model's own, enlarged.
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from browser import PATIENCE, Editor
from editor_reload import a_session
from editor_screenshots import DOCS, choose, rest, visiting
from PIL import Image

from ufc.io.hub import DEFAULT_MODEL
from ufc.requests.loading import ModelSettings
from webui.sessions.exports import enlarged
from webui.sessions.studio import Studio

SHOWN = 960  # pixels across
QUALITY = 55
EARLIER = ("men's brown leather shoes", "women's green dress", "men's blue shirt")
SHIRT = (4 * 12 + 1, 12 * 12 + 10)  # its first and last block
UNFOLDING = 0.6  # seconds that a panel moves
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


def main() -> int:
    """Entry point; returns the exit code."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        photograph = earlier_sessions(folder)
        return visiting(folder / "out", lambda editor: write(walk(editor, photograph)))


def write(film: Film) -> None:
    """Write the file, and say how long it is."""
    path = DOCS / "editor-walk.webp"
    film.save(path)
    length, size = sum(film.seconds), path.stat().st_size // 1000
    print(f"{path}  {len(film.frames)} frames, {length:.0f} s, {size} kB")


def earlier_sessions(folder: Path) -> Path:
    """Sessions to be found on the start page; the last picture, enlarged, is the photograph."""
    studio = Studio(folder / "out", ModelSettings(DEFAULT_MODEL))
    key = [a_session(studio, words) for words in EARLIER][-1]
    picture = studio.store.load(key).pictures[0]
    path = folder / "photograph.jpg"
    with Image.open(io.BytesIO(enlarged(studio, key, picture))) as image:
        image.convert("RGB").save(path, quality=95)  # a JPEG: with nothing but its pixels
    return path


def walk(editor: Editor, photograph: Path) -> Film:
    """All sessions; a new one: words, a picture, a part changed; the same of a photograph."""
    film = Film(editor)
    editor.click(".st-key-head_session a")
    editor.wait(lambda: len(editor.inside("cards", ".card")) > len(EARLIER), "the start page")
    rest(editor)
    film.shoot(READ)
    editor.inside("cards", ".card a")[0].click()
    editor.wait(lambda: editor.all("textarea") and not editor.busy(), "a new session")
    a_picture(film)
    a_photograph(film, photograph)
    return film


def a_picture(film: Film) -> None:
    """Words, a picture, a part of it changed; what is kept and what is new."""
    editor = film.editor
    film.shoot(LOOK)
    for words in ("women's red", "women's red handbag"):
        editor.type_prompt(words)
        film.shoot(1.0)
    film.generate()
    editor.drag(0, 11, 23, 12, 24, 35, 47, 36)
    editor.wait(lambda: "Regenerates 48 of 192 blocks" in editor.text(), "the plan")
    film.shoot(READ)
    film.generate()
    choose(editor, "layer_en", "Origin")
    rest(editor)
    film.shoot(READ)
    choose(editor, "layer_en", "Picture")
    rest(editor)


def a_photograph(film: Film, photograph: Path) -> None:
    """Put in, a part of it changed, and downloaded at its own size."""
    editor, before = film.editor, film.editor.pictures()
    with Image.open(photograph) as image:
        width, height = image.size
    editor.unfold("panel_own")
    time.sleep(UNFOLDING)
    film.shoot(LOOK)
    editor.upload("own", photograph)
    editor.wait(lambda: editor.pictures() > before, "the photograph")
    editor.wait(lambda: f"Download {width} × {height}" in editor.text(), "its own size")
    editor.fold("panel_own")
    rest(editor)
    film.shoot(READ)
    for words in ("men's red", "men's red t-shirt"):
        editor.type_prompt(words)
        film.shoot(1.0)
    editor.tool("rectangle")
    editor.drag(*SHIRT)
    editor.wait(lambda: "Regenerates 90 of 192 blocks" in editor.text(), "the plan")
    rest(editor)
    film.shoot(READ)
    film.generate()
    film.shoot(LOOK)
    download(editor, photograph.parent / "downloads", (width, height))
    film.shoot(READ)


def download(editor: Editor, folder: Path, size: tuple[int, int]) -> None:
    """Press the button; what comes has so many pixels across and down."""
    folder.mkdir()
    downloads = {"behavior": "allow", "downloadPath": str(folder)}
    editor.driver.execute_cdp_cmd("Browser.setDownloadBehavior", downloads)
    editor.press("download")
    path = editor.wait(lambda: next(folder.glob("ufc-*.png"), None), "the download")
    with Image.open(path) as image:
        if image.size != size:
            raise ValueError(f"{path.name} has {image.size} pixels, wanted {size}")


if __name__ == "__main__":
    sys.exit(main())
