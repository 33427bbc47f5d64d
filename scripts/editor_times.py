"""How long a visitor of the editor waits for a picture: `python scripts/editor_times.py`.

In `ufc app`, in a headless Chromium 1440 pixels wide, Generate is clicked once to warm up and then
five times; printed are the medians of the seconds from the click until the canvas shows the first
preview, until it shows the finished picture, and of what the model took of that. Clicks and
pictures are timed by the page's own clock, a picture in the frame that it is painted in.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import get_args

from browser import INSIDE, Editor, missing, serving

from ufc.cli.flags import DType
from ufc.io.hub import DEFAULT_MODEL

WIDTH = 1440
WATCH = f"""
const find = function () {{ {INSIDE} }};
const [image] = find("canvas", ".sheet img");
window.clicked = 0;
window.painted = [];
document.addEventListener("click", () => {{ window.clicked = performance.now(); }}, true);
image.addEventListener("load", () => requestAnimationFrame(
  () => {{ window.painted.push(performance.now() - window.clicked); }}
));
"""


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--dtype", default="auto", choices=get_args(DType))
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    if lacking := missing():
        print(f"error: {lacking}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "sessions"
        with serving(folder, "--model", options.model, "--dtype", options.dtype) as address:
            times = waits(address, options.repeats)
        model = model_times(folder)[-options.repeats :]
    preview, picture = (statistics.median(column) for column in zip(*times, strict=True))
    report = {
        "dtype": options.dtype,
        "seconds_to_preview": round(preview, 2),
        "seconds_to_picture": round(picture, 2),
        "seconds_of_the_model": round(statistics.median(model), 2),
    }
    print(json.dumps(report))
    return 0


def waits(address: str, repeats: int) -> list[tuple[float, float]]:
    """Seconds from the click to the first preview and to the finished picture, of each repeat."""
    editor = Editor(f"{address}/?s=new", WIDTH)
    try:
        editor.type_prompt("women's red handbag")
        editor.generate()
        editor.driver.execute_script(WATCH)
        return [wait(editor) for _ in range(repeats)]
    finally:
        editor.close()


def wait(editor: Editor) -> tuple[float, float]:
    """The same of one picture: the finished one is what the canvas shows last."""
    editor.quieten()
    editor.driver.execute_script("window.painted = []")
    editor.generate()
    editor.quieten()
    painted = editor.driver.execute_script("return window.painted")
    return painted[0] / 1000, painted[-1] / 1000


def model_times(folder: Path) -> list[float]:
    """Seconds that the model took for each picture of the only session in a folder."""
    (file,) = folder.glob("sessions/*/session.json")
    return [picture["seconds"] for picture in json.loads(file.read_text("utf-8"))["pictures"]]


if __name__ == "__main__":
    sys.exit(main())
