"""Editor, server and a batch at once on one machine: `python -m benchmarks.load --minutes 10`.

Three processes generate with one model for so long: `ufc app` with visitors, each of whom writes,
generates, marks, edits and stops in a session of their own; `ufc serve` with 8 clients and one that
hangs up on it; and `ufc generate` over a file of prompts. Said of each are pictures, errors,
answers that belong to another request, how memory grew after the first minute, and the rate of
pictures in the last quarter over that in the second. Exit code 1 where there is an error or a
mix-up, where memory grew by more than 5 %, where a process ended too soon to tell, or where the
server is still at work for those who hung up; 2 where --minutes are too few.

The visitors speak to the page as the browser's part of Streamlit does (`benchmarks.visitors`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from benchmarks.serving import PROMPTS, Server, free_port, load, serving, started
from benchmarks.visitors.visit import Tally, rounds, visit
from ufc.io.hub import DEFAULT_MODEL

FIRST = 60.0  # seconds after which memory is looked at for the first time
EVERY = 5.0  # seconds between two looks
MOST_GROWTH = 0.05
LEAST_MINUTES = 3.0  # so that what is compared does not overlap
CLIENTS = 8
PATIENCE = 0.3  # seconds until the hasty client hangs up
RESTS = 5.0  # seconds that it then waits
AT_REST = 30.0  # seconds in which a server that nobody asks any more has nothing to do
ERROR_IN_LOG = re.compile(r"^Traceback \(most recent call last\):\n(?:[ \t].*\n|\n)*(.*)$", re.M)
MOST_TOLD = 10  # kinds of errors and mix-ups


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
    parser.add_argument("--sessions", type=int, default=20, help="visitors of the editor")
    parser.add_argument("--prompts", type=int, default=2000, help="of the batch, at most")
    parser.add_argument(
        "--only-batch", action="store_true", help="the batch alone, to its end, however long"
    )
    options = parser.parse_args()
    if options.minutes < LEAST_MINUTES:
        parser.error(
            f"--minutes: got {options.minutes:g}, wanted {LEAST_MINUTES:g} or more: in less, "
            "growth of memory cannot be told from how it is taken up at first"
        )
    with tempfile.TemporaryDirectory() as scratch:
        if options.only_batch:
            return to_its_end(Path(scratch), options)
        return together(Path(scratch), options, 60 * options.minutes)


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
    with (
        serving(["--model", options.model]) as server,
        batch(folder, options.model, options.prompts) as run,
        editing(folder / "editor", options.model) as editor,
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

        async def all_ask() -> tuple[Tally, list[float], int]:
            visits = asyncio.create_task(
                edit(editor.url, folder / "editor", options.sessions, until)
            )
            times, failed = await load(server.url, CLIENTS, None, {}, until)
            over.set()
            return await visits, times, failed

        tally, times, failed = asyncio.run(all_ask())
        for thread in threads:
            thread.join()
        rests = at_rest(server.url)
    log = log_of(folder / "editor").read_text(encoding="utf-8", errors="replace")
    tally.wrong.update(f"in its log: {error}" for error in ERROR_IN_LOG.findall(log))
    found = batch_result(folder / "batch")
    print(f"editor: {told_of_visits(tally)}")
    print(f"server: {len(times)} answers, {failed} failed; {len(hung_up)} hung up, then "
          f"{'at rest' if rests else 'still at work'}")  # fmt: skip
    print(f"batch: {found}")
    for one in watched:
        print(told_of(one))
    for what, often in tally.wrong.most_common(MOST_TOLD):
        print(f"editor: {often} times: {what}")
    wrong = tally.wrong.total() + failed + found["wrong"] + (not rests)
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


@contextmanager
def editing(folder: Path, model: str) -> Iterator[Server]:
    """`ufc app` in a process of its own, which keeps its sessions in a folder."""
    port = free_port()
    command = [sys.executable, "-m", "ufc", "app", "--no-browser", "--port", str(port)]
    command += ["--model", model, "--output-dir", str(folder)]
    with (
        log_of(folder).open("wb") as log,
        started(port, command, "/_stcore/health", log) as editor,
    ):
        yield editor


def log_of(folder: Path) -> Path:
    """What the editor of a folder prints."""
    return folder.with_suffix(".log")


async def edit(url: str, folder: Path, sessions: int, until: float) -> Tally:
    """So many visitors of the editor until a time."""
    tally = Tally()
    await asyncio.gather(
        *(visit(url, folder, number, rounds(number, until), tally) for number in range(sessions))
    )
    return tally


def told_of_visits(tally: Tally) -> dict[str, float]:
    """What came of the visitors, as figures."""
    return {
        "pictures": tally.pictures,
        "stopped": tally.stopped,
        "wrong": tally.wrong.total(),
        "seconds_to_stop": round(middle(tally.seconds_to_stop), 2)
        if tally.seconds_to_stop
        else 0.0,
    }


def middle(values: Sequence[float]) -> float:
    """The median of some values, 1 of none."""
    return sorted(values)[len(values) // 2] if values else 1.0


if __name__ == "__main__":
    sys.exit(main())
