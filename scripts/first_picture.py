"""How long it is from `pip install` to the first picture in a notebook.

    python scripts/first_picture.py [--wheel FILE] [--no-cache]

A new virtual environment gets a wheel of this tree and, besides, what runs notebooks (ipykernel and
nbclient). Away from the clone a kernel in it then runs `examples/first_picture.ipynb` as far as the
first cell that shows a picture. Prints the seconds of each as a table, and where pip took packages
from: what it had in its cache, or found in files of this machine, was not downloaded.
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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


def measure(scratch: Path, wheel: Path, no_cache: bool) -> tuple[dict[str, float], dict[str, int]]:
    """Seconds by what they went to, and the number of packages by where pip took them from."""
    seconds: dict[str, float] = {}
    inside = scratch / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    away = scratch / "away"
    away.mkdir()
    pip = [str(inside), "-m", "pip", "install", "--disable-pip-version-check"]
    pip += ["--constraint", str(ROOT / "requirements.txt")]
    pip += ["--no-cache-dir"] if no_cache else []

    with timed(seconds, "virtual environment"):
        run([sys.executable, "-m", "venv", str(inside.parents[1])], away)
    with timed(seconds, "`pip install` of the wheel"):
        log = run([*pip, str(wheel)], away)
    with timed(seconds, "`pip install` of ipykernel and nbclient"):
        log += run([*pip, *KERNEL], away)
    told = run([str(inside), str(Path(__file__).resolve()), "--cells", str(NOTEBOOK)], away)
    return seconds | json.loads(told.splitlines()[-1]), count_sources(log)


def until_picture(notebook: Path) -> dict[str, float]:
    """Seconds that a kernel takes to start, and for the cells up to the first shown picture.

    Raises:
        ValueError: no cell shows one.
    """
    import nbformat
    from nbclient import NotebookClient

    seconds = {"kernel": 0.0, "import and load": 0.0, "first picture": 0.0}
    book = nbformat.read(notebook, as_version=4)
    client = NotebookClient(book, timeout=600, resources={"metadata": {"path": os.getcwd()}})
    started = time.monotonic()
    with client.setup_kernel():
        seconds["kernel"] = time.monotonic() - started
        for number, cell in enumerate(book.cells):
            started = time.monotonic()
            client.execute_cell(cell, number)
            taken = time.monotonic() - started
            if shows_picture(cell):
                return seconds | {"first picture": taken}
            seconds["import and load"] += taken
    raise ValueError(f"{notebook.name}: no cell shows a picture")


def shows_picture(cell: Any) -> bool:
    return any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))


def count_sources(log: str) -> dict[str, int]:
    """How many packages pip took from where, by what it says while it installs them."""
    files = [line for line in log.splitlines() if ".metadata" not in line]
    return {
        where: sum(bool(re.match(rf"\s*{said} ", line)) for line in files)
        for where, said in SOURCES.items()
    }


def table(seconds: dict[str, float]) -> str:
    """The seconds as a table of Markdown."""
    rows = [f"| {what} | {taken:.1f} s |" for what, taken in seconds.items()]
    return "\n".join(["| | |", "|---|---:|", *rows, f"| **all** | {sum(seconds.values()):.1f} s |"])


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
def timed(seconds: dict[str, float], what: str) -> Iterator[None]:
    """Adds how long the context lasts."""
    started = time.monotonic()
    yield
    seconds[what] = time.monotonic() - started


def read_flags(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--wheel", help="install this one instead of building it")
    parser.add_argument("--no-cache", action="store_true", help="pip downloads all that it needs")
    parser.add_argument("--cells", help=argparse.SUPPRESS)  # what runs inside of the environment
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
