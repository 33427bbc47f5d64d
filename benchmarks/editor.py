"""How long a visitor of the editor waits: `python -m benchmarks.editor`.

Times, with the bundled model: from the click to the first preview and to the picture; what
previews, curves and scores add to a step; and twenty visitors at once. Measured where the page
asks (`webui.sessions.studio`), without a browser.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import get_args

from ufc.cli.flags import DType
from ufc.requests.loading import ModelSettings
from webui.sessions.generating.worker import Ticket
from webui.sessions.state import Session
from webui.sessions.studio import Studio


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", default=None)
    parser.add_argument("--dtype", default="auto", choices=get_args(DType))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--visitors", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        studio = Studio(Path(folder), ModelSettings(arguments.model, dtype=arguments.dtype))
        started = time.monotonic()
        steps = studio.loaded.pipe.defaults["num_inference_steps"]
        print(f"loading the model: {time.monotonic() - started:.2f} s")
        first(studio)  # the first picture of a process warms everything up
        times = [first(studio) for _ in range(arguments.repeats)]
        preview, whole = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"click to first preview: {preview:.2f} s; to the picture: {whole:.2f} s")
        alone = statistics.median(plain(studio) for _ in range(arguments.repeats))
        print(f"the same without being watched: {alone:.2f} s")
        print(f"previews, curves and files: {1000 * (whole - alone) / steps:.0f} ms a step")
        print(f"{arguments.visitors} visitors at once: {crowd(studio, arguments.visitors):.1f} s")


def visitor(studio: Studio, seed: int = 1) -> str:
    """A new session with something to generate."""
    key = studio.begin()

    def ask(session: Session) -> Session:
        settings = replace(session.settings, prompt="women's red handbag", seed=seed)
        return replace(session, settings=settings)

    studio.store.update(key, ask)
    return key


def first(studio: Studio) -> tuple[float, float]:
    """Seconds to the first preview and to the finished picture."""
    key = visitor(studio)
    seen: list[float] = []
    report = Ticket.report

    def watch(ticket: Ticket, step: int, **frame: object) -> None:
        seen.append(time.monotonic())
        report(ticket, step, **frame)

    Ticket.report = watch  # type: ignore[method-assign, assignment]
    try:
        started = time.monotonic()
        studio.generate(key)
        studio.worker.wait(key)
        return seen[0] - started, time.monotonic() - started
    finally:
        Ticket.report = report  # type: ignore[method-assign]


def plain(studio: Studio) -> float:
    """Seconds that the pipeline alone takes for the same picture."""
    started = time.monotonic()
    studio.loaded.pipe("women's red handbag", seed=1)
    return time.monotonic() - started


def crowd(studio: Studio, visitors: int) -> float:
    """Seconds until all of so many visitors, who click at once, have their picture."""

    def visit(seed: int) -> None:
        key = visitor(studio, seed)
        studio.generate(key)
        progress = studio.worker.wait(key)
        assert progress is not None
        assert progress.state == "done", progress.error
        assert studio.store.load(key).pictures[0].seed == seed

    started = time.monotonic()
    threads = [threading.Thread(target=visit, args=(seed,)) for seed in range(visitors)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.monotonic() - started


if __name__ == "__main__":
    main()
