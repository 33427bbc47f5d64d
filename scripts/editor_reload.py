"""How long the editor takes to open a session of many pictures: `python scripts/editor_reload.py`.

A picture of the bundled model is put into a session 500 times, each with a file, codes and details
of its own, and into another session once; both are then opened in a headless Chromium, in turn.
Printed are the medians of the seconds from asking for the address until the canvas and the history
are there.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from browser import Editor, missing, serving

from ufc.io.hub import DEFAULT_MODEL
from ufc.requests.loading import ModelSettings
from webui.sessions.state import Picture, Session, add
from webui.sessions.studio import Studio


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    if lacking := missing():
        print(f"error: {lacking}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "sessions"
        few, many = sessions(folder, options.model, options.pictures)
        with serving(folder, "--model", options.model) as address:
            times = reloads(address, (few, many), options.repeats)
    report = {
        "pictures": options.pictures,
        "seconds_with_one": round(statistics.median(times[few]), 2),
        "seconds_with_all": round(statistics.median(times[many]), 2),
    }
    print(json.dumps(report))
    return 0


def a_session(studio: Studio, words: str) -> str:
    """A session with a picture; returns its id."""
    key = studio.begin()

    def ask(session: Session) -> Session:
        return replace(session, settings=replace(session.settings, prompt=words, seed=1))

    studio.store.update(key, ask)
    studio.generate(key)
    studio.worker.wait(key)
    return key


def sessions(folder: Path, model: str, count: int) -> tuple[str, str]:
    """A session of one picture and one of `count`."""
    studio = Studio(folder, ModelSettings(model))
    few = a_session(studio, "red bag")
    many = studio.begin()
    (picture,) = studio.store.load(few).pictures
    copies = [copied(studio, few, many, picture, number) for number in range(1, count + 1)]

    def filled(session: Session) -> Session:
        return add(session, copies)

    studio.store.update(many, filled)
    return few, many


def copied(studio: Studio, old: str, new: str, picture: Picture, number: int) -> Picture:
    """A picture of one session under a number of another, with its files."""
    name = f"{number:04d}"
    file = f"pictures/{name}.png"
    studio.store.path(new, file).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(studio.store.path(old, picture.file), studio.store.path(new, file))
    studio.store.write_details(new, name, studio.store.read_details(old, picture.id))
    return replace(picture, id=name, file=file, group=name)


def reloads(address: str, keys: tuple[str, ...], repeats: int) -> dict[str, list[float]]:
    """Seconds to open each session, once for warming up and then `repeats` times, in turn."""
    times: dict[str, list[float]] = {key: [] for key in keys}
    editor = Editor(f"{address}/?s={keys[0]}")
    try:
        for turn in range(repeats + 1):
            for key in keys:
                started = time.monotonic()
                editor.open(f"{address}/?s={key}")
                editor.wait(lambda: editor.inside("canvas", ".ready"), "the canvas")
                editor.wait(editor.pictures, "the history")
                editor.settle()
                if turn:
                    times[key].append(time.monotonic() - started)
    finally:
        editor.close()
    return times


if __name__ == "__main__":
    sys.exit(main())
