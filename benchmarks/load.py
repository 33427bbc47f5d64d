"""Editor, server and a batch at once on one machine: `python -m benchmarks.load --minutes 10`.

Three processes generate with one model for so long: sessions of the editor, each of which asks,
marks, edits and stops; `ufc serve` with 8 clients and one that hangs up on it; and `ufc generate`
over a file of prompts. Said of each are pictures, errors, answers that belong to another request,
how memory grew after the first minute, and the rate of pictures in the last quarter over that in
the second. Exit code 1 where there is an error or a mix-up, where memory grew by more than 5 %,
where a process ended too soon to tell, or where the server is still at work for those who hung up;
2 where --minutes are too few.

The editor's sessions are those behind the page (`webui.sessions.studio`), without Streamlit.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx

from benchmarks.serving import PROMPTS, Server, load, serving
from ufc.io.hub import DEFAULT_MODEL
from ufc.requests.loading import ModelSettings
from webui.sessions import state
from webui.sessions.studio import Studio

FIRST = 60.0  # seconds after which memory is looked at for the first time
EVERY = 5.0  # seconds between two looks
MOST_GROWTH = 0.05
LEAST_MINUTES = 3.0  # so that what is compared does not overlap
CLIENTS = 8
PATIENCE = 0.3  # seconds until the hasty client hangs up
RESTS = 5.0  # seconds that it then waits
AT_REST = 30.0  # seconds in which a server that nobody asks any more has nothing to do


@dataclass
class Watched:
    """A process, with its memory and the number of its pictures over time."""

    name: str
    pid: int
    pictures: Callable[[], int]
    memory: list[tuple[float, float]] = field(default_factory=list)
    counts: list[tuple[float, int]] = field(default_factory=list)

    def look(self, at: float) -> None:
        self.memory.append((at, Server("", self.pid).memory))
        self.counts.append((at, self.pictures()))

    @property
    def growth(self) -> float | None:
        """Memory in the last quarter over that after the first minute: medians, minus 1; None
        where it ended before they can be told apart."""
        end = self.memory[-1][0] if self.memory else 0.0
        early = [mib for at, mib in self.memory if FIRST <= at <= FIRST + end / 4]
        late = [mib for at, mib in self.memory if at >= end * 3 / 4]
        if end < 60 * LEAST_MINUTES - 2 * EVERY or not early or not late:
            return None
        return middle(late) / middle(early) - 1

    @property
    def steadiness(self) -> float:
        """Pictures of the last quarter over those of the second; 1 is a steady rate."""
        end = self.counts[-1][0] if self.counts else 0.0
        second, last = (self.between(part * end / 4, (part + 1) * end / 4) for part in (1, 3))
        return last / second if second else 0.0

    def between(self, start: float, end: float) -> int:
        """Pictures that were finished between two times."""
        found = [count for at, count in self.counts if start <= at <= end]
        return found[-1] - found[0] if found else 0


def main() -> int:
    """Load all three and tell; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--sessions", type=int, default=20, help="of the editor")
    parser.add_argument("--prompts", type=int, default=2000, help="of the batch, at most")
    parser.add_argument(
        "--only-batch", action="store_true", help="the batch alone, to its end, however long"
    )
    parser.add_argument("--only-editor", type=Path, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.minutes < LEAST_MINUTES and not options.only_editor:
        parser.error(
            f"--minutes: got {options.minutes:g}, wanted {LEAST_MINUTES:g} or more: in less, "
            "growth of memory cannot be told from how it is taken up at first"
        )
    seconds = 60 * options.minutes
    if options.only_editor:
        print(json.dumps(edit(options.only_editor, options.model, options.sessions, seconds)))
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        if options.only_batch:
            return to_its_end(Path(scratch), options)
        return together(Path(scratch), options, seconds)


def to_its_end(folder: Path, options: argparse.Namespace) -> int:
    """A batch of all prompts, with nothing beside it; 1 where something is wrong."""
    started = time.monotonic()
    with batch(folder, options.model, options.prompts) as run:
        watched = Watched("batch", run.pid, lambda: files(folder / "batch", "*.png"))
        while run.poll() is None:
            with suppress(OSError, StopIteration):  # it ends meanwhile
                watched.look(time.monotonic() - started)
            time.sleep(EVERY)
    found = batch_result(folder / "batch")
    print(f"batch: {found} of {options.prompts} in {(time.monotonic() - started) / 60:.1f} minutes")
    print(told_of(watched))
    missing = options.prompts - found["pictures"]
    return int(bool(found["wrong"] or missing or run.returncode) or not steady(watched))


def together(folder: Path, options: argparse.Namespace, seconds: float) -> int:
    """All three at once; 1 where something is wrong."""
    own = [sys.executable, "-m", "benchmarks.load", "--only-editor", str(folder / "editor")]
    own += ["--model", options.model, "--minutes", str(seconds / 60)]
    own += ["--sessions", str(options.sessions)]
    with (
        serving(["--model", options.model]) as server,
        batch(folder, options.model, options.prompts) as run,
        subprocess.Popen(own, stdout=subprocess.PIPE, text=True) as editor,
    ):
        watched = [
            Watched("editor", editor.pid, lambda: files(folder / "editor", "pictures/*.png")),
            Watched("server", server.pid, lambda: counter(server.url, "ufc_pictures_total")),
            Watched("batch", run.pid, lambda: files(folder / "batch", "*.png")),
        ]
        over = threading.Event()
        until = time.monotonic() + seconds
        hung_up: list[float] = []
        threads = [
            threading.Thread(target=watch, args=(watched, over)),
            threading.Thread(target=hang_up, args=(server.url, until, hung_up)),
        ]
        for thread in threads:
            thread.start()
        times, failed = asyncio.run(load(server.url, CLIENTS, None, {}, until))
        over.set()
        for thread in threads:
            thread.join()
        rests = at_rest(server.url)
        told = json.loads(editor.communicate()[0] or "{}")
    found = batch_result(folder / "batch")
    print(f"editor: {told}")
    print(f"server: {len(times)} answers, {failed} failed; {len(hung_up)} hung up, then "
          f"{'at rest' if rests else 'still at work'}")  # fmt: skip
    print(f"batch: {found}")
    for one in watched:
        print(told_of(one))
    wrong = told.get("wrong", 1) + failed + found["wrong"] + (not rests)
    return int(bool(wrong) or not all(map(steady, watched)))


def told_of(one: Watched) -> str:
    """A line on the memory and the rate of a process."""
    last = one.memory[-1][1] if one.memory else 0.0
    if one.growth is None:
        return f"{one.name}: {last:.0f} MiB, ended too soon to compare (a batch: more --prompts)"
    return (
        f"{one.name}: {last:.0f} MiB, {one.growth:+.1%} since the first minute; "
        f"rate {one.steadiness:.2f} of that in the second quarter"
    )


def steady(one: Watched) -> bool:
    """Whether a process is known to have grown little."""
    return one.growth is not None and one.growth <= MOST_GROWTH


def files(folder: Path, pattern: str) -> int:
    """How many such files there are, at any depth."""
    return sum(1 for _ in folder.rglob(pattern))


def counter(url: str, name: str) -> int:
    """What a metric of the server says now."""
    lines = httpx.get(f"{url}/metrics", timeout=30).text.splitlines()
    return int(sum(float(line.split()[-1]) for line in lines if line.startswith(name)))


def hang_up(url: str, until: float, times: list[float]) -> None:
    """A client that asks for many pictures and does not wait for them."""
    while time.monotonic() < until:
        ask = {"prompt": PROMPTS[0], "n": 8, "seed": 1}
        with suppress(httpx.TimeoutException):
            httpx.post(f"{url}/v1/images/generations", json=ask, timeout=PATIENCE)
        times.append(time.monotonic())
        time.sleep(RESTS)


def at_rest(url: str) -> bool:
    """Whether the server, which nobody asks any more, soon has nothing to do."""
    end = time.monotonic() + AT_REST
    while time.monotonic() < end:
        if counter(url, "ufc_pictures_waiting") + counter(url, "ufc_pictures_running") == 0:
            return True
        time.sleep(1.0)
    return False


def watch(watched: Sequence[Watched], over: threading.Event) -> None:
    """Look at memory now and then."""
    started = time.monotonic()
    while not over.wait(EVERY):
        for one in watched:
            try:
                one.look(time.monotonic() - started)
            except (OSError, StopIteration, httpx.HTTPError):  # it has ended
                continue


@contextmanager
def batch(folder: Path, model: str, count: int) -> Iterator[subprocess.Popen[bytes]]:
    """`ufc generate` over so many prompts, each with a seed of its own; stopped in the end."""
    rows = (
        {"id": f"p{number}", "prompt": PROMPTS[number % len(PROMPTS)], "seed": number}
        for number in range(count)
    )
    file = folder / "prompts.jsonl"
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    command = [sys.executable, "-m", "ufc", "generate", "--quiet", "--model", model]
    command += ["--prompts-file", str(file), "--output-dir", str(folder / "batch")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(120)


def batch_result(folder: Path) -> dict[str, int]:
    """How many pictures are finished, and how many are not what their row asked for."""
    manifest = folder / "manifest.jsonl"
    lines = manifest.read_text(encoding="utf-8").splitlines() if manifest.is_file() else []
    rows = [json.loads(line) for line in lines]
    begun = [row for row in rows if row.get("status") in ("done", "failed")]
    wrong = sum(
        row["status"] == "failed"
        or row["prompt"] != PROMPTS[row["seed"] % len(PROMPTS)]
        or not (folder / row["file_name"]).is_file()
        for row in begun
    )
    return {"pictures": len(begun), "wrong": wrong}


def edit(folder: Path, model: str, sessions: int, seconds: float) -> dict[str, float]:
    """Sessions of the editor, each in a thread that asks, marks, edits and sometimes stops."""
    studio = Studio(folder, ModelSettings(model))
    counts: Counter[str] = Counter(pictures=0, stopped=0, wrong=0)
    stops: list[float] = []  # seconds until what was stopped is over
    until = time.monotonic() + seconds
    threads = [
        threading.Thread(target=visit, args=(studio, number, until, counts, stops))
        for number in range(sessions)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {**counts, "seconds_to_stop": round(middle(stops), 2) if stops else 0.0}


def visit(
    studio: Studio, number: int, until: float, counts: Counter[str], seconds: list[float]
) -> None:
    """One session until a time."""
    rng = random.Random(number)
    key = studio.begin()
    words = PROMPTS[number % len(PROMPTS)]
    studio.store.update(
        key, lambda s: replace(s, settings=replace(s.settings, prompt=words, seed=number))
    )
    while time.monotonic() < until:
        before = len(studio.store.load(key).pictures)
        frame = studio.frame(studio.store.load(key))
        some = tuple(rng.sample(range(frame.cells), rng.choice((0, 8, 40)))) if before else ()
        studio.store.update(key, lambda s, some=some: state.mark(s, some))  # type: ignore[misc]
        studio.generate(key)
        stops = rng.random() < 0.1
        if stops:
            time.sleep(rng.random())
            stopped = time.monotonic()
            studio.stop(key)
        progress = studio.worker.wait(key)
        if stops:
            seconds.append(time.monotonic() - stopped)
        session = studio.store.load(key)
        if progress is None or progress.error:
            counts["wrong"] += 1
        elif len(session.pictures) == before and stops:
            counts["stopped"] += 1
        else:
            picture = session.pictures[-1]
            mine = picture.request.get("prompt") == words and len(session.pictures) == before + 1
            edited = not some or picture.kept == tuple(sorted({*range(frame.cells)} - {*some}))
            counts["pictures"] += 1
            counts["wrong"] += not (mine and edited)


def middle(values: Sequence[float]) -> float:
    """The median of some values, 1 of none."""
    return sorted(values)[len(values) // 2] if values else 1.0


if __name__ == "__main__":
    sys.exit(main())
