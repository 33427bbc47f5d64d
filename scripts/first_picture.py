"""How long it is from `pip install` to the first picture in a notebook.

    python scripts/first_picture.py [--wheel FILE] [--no-cache]

A new virtual environment gets a wheel of this tree and, besides, what runs notebooks (ipykernel
and nbclient). Away from the clone a kernel in it then runs `examples/first_picture.ipynb` as far as
the first cell that shows a picture. Prints a table of seconds, on the clock and of processors
(which other work hardly changes), and where pip took packages from: what it had in its cache, or
found in files of this machine, was not downloaded.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "examples" / "first_picture.ipynb"
KERNEL = ("ipykernel", "nbclient")
# What pip says of a package's file before it installs it.
SOURCES = {
    "downloaded": "Downloading",
    "from pip's cache": "Using cached",
    "from files of this machine": "Processing",
}


def main(arguments: Sequence[str] | None = None) -> int:
    flags = read_flags(arguments)
    if flags.cells:
        print(json.dumps(until_picture(Path(flags.cells))))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        wheel = Path(flags.wheel).resolve() if flags.wheel else build_wheel(scratch / "dist")
        seconds, sources = measure(scratch, wheel, flags.no_cache)
    print(table(seconds))
    print("Packages: " + ", ".join(f"{count} {where}" for where, count in sources.items()) + ".")
    return 0


Seconds = dict[str, tuple[float, float]]  # by what they went to: on the clock, and of processors


def measure(scratch: Path, wheel: Path, no_cache: bool) -> tuple[Seconds, dict[str, int]]:
    """Seconds of every stage, and the number of packages by where pip took them from."""
    seconds: Seconds = {}
    inside = scratch / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    away = scratch / "away"
    away.mkdir()
    pip = [str(inside), "-m", "pip", "install", "--disable-pip-version-check"]
    pip += ["--constraint", str(ROOT / "requirements.txt")]
    pip += ["--no-cache-dir"] if no_cache else []

    with timed(seconds, "virtual environment", ended_children):
        run([sys.executable, "-m", "venv", str(inside.parents[1])], away)
    with timed(seconds, "`pip install` of the wheel", ended_children):
        log = run([*pip, str(wheel)], away)
    with timed(seconds, "`pip install` of ipykernel and nbclient", ended_children):
        log += run([*pip, *KERNEL], away)
    told = run([str(inside), str(Path(__file__).resolve()), "--cells", str(NOTEBOOK)], away)
    return seconds | json.loads(told.splitlines()[-1]), count_sources(log)


def until_picture(notebook: Path) -> Seconds:
    """Seconds that a kernel takes to start, and for the cells up to the first shown picture.

    Raises:
        ValueError: no cell shows one.
    """
    import nbformat
    from nbclient import NotebookClient

    seconds: Seconds = {}
    book = nbformat.read(notebook, as_version=4)
    client = NotebookClient(book, timeout=600, resources={"metadata": {"path": os.getcwd()}})
    with ExitStack() as stack:
        with timed(seconds, "kernel", running_children):
            stack.enter_context(client.setup_kernel())
        for number, cell in enumerate(book.cells):
            name = f"cell {number}"
            with timed(seconds, name, running_children):
                client.execute_cell(cell, number)
            if shows_picture(cell):
                return gathered(seconds, name)
    raise ValueError(f"{notebook.name}: no cell shows a picture")


def gathered(seconds: Seconds, last: str) -> Seconds:
    """Seconds of cells as those of the kernel, of `last`, and of what came between."""
    between = [pair for name, pair in seconds.items() if name not in ("kernel", last)]
    return {
        "kernel": seconds["kernel"],
        "import and load": (sum(a for a, _ in between), sum(b for _, b in between)),
        "first picture": seconds[last],
    }


def shows_picture(cell: Any) -> bool:
    return any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))


def count_sources(log: str) -> dict[str, int]:
    """How many packages pip took from where, by what it says while it installs them."""
    files = [line for line in log.splitlines() if ".metadata" not in line]
    return {
        where: sum(bool(re.match(rf"\s*{said} ", line)) for line in files)
        for where, said in SOURCES.items()
    }


def table(seconds: Seconds) -> str:
    """The seconds as a table of Markdown."""
    total = (sum(a for a, _ in seconds.values()), sum(b for _, b in seconds.values()))
    rows = {**seconds, "**all**": total}.items()
    lines = [f"| {what} | {clock:.1f} s | {busy:.1f} s |" for what, (clock, busy) in rows]
    return "\n".join(["| | on the clock | of processors |", "|---|---:|---:|", *lines])


def build_wheel(folder: Path) -> Path:
    """A wheel of this tree."""
    run([sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)], ROOT)
    (wheel,) = folder.glob("*.whl")
    return wheel


def run(command: Sequence[str], folder: Path) -> str:
    """What a command says, run in a folder and without this clone's modules.

    Raises:
        SystemExit: it failed; the message has the end of what it said.
    """
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        end = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
        raise SystemExit(f"{' '.join(command)} failed ({done.returncode}):\n{end}")
    return done.stdout


@contextmanager
def timed(seconds: Seconds, what: str, busy: Callable[[], float]) -> Iterator[None]:
    """Writes down how long the context lasts, and how much `busy` grows by meanwhile."""
    started, before = time.monotonic(), busy()
    yield
    seconds[what] = (time.monotonic() - started, busy() - before)


def ended_children() -> float:
    """Seconds of processors that programs have taken which were started here and have ended."""
    times = os.times()
    return times.children_user + times.children_system


def running_children() -> float:
    """The same of programs that run still; by psutil, which comes with ipykernel."""
    import psutil

    times = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    return sum(one.user + one.system for one in times)


def read_flags(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--wheel", help="install this one instead of building it")
    parser.add_argument("--no-cache", action="store_true", help="pip downloads all that it needs")
    parser.add_argument("--cells", help=argparse.SUPPRESS)  # what runs inside of the environment
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
