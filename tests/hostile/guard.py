"""What may come of an input: a result, or one clear line of an error of the project's own.

The guard watches what Python is asked to do meanwhile: no file is written outside of the folder
that is allowed, no program started, no connection opened, and nothing from data is called.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ufc.io.validation import RequestError
from ufc_base.arrays import ImageError
from ufc_base.checkpoint import CheckpointError
from ufc_base.computing.thread_pool import release_thread_pool
from ufc_base.data.names import DataError
from ufc_base.visible_text import is_plain_line

OWN = (RequestError, ImageError, DataError, CheckpointError)
# Seconds of the processor's: what others do on the machine does not count.
MOST_SECONDS, MOST_BYTES, MOST_LETTERS = 5.0, 2 * 2**30, 2000
STARTED = ("os.system", "subprocess.Popen", "os.posix_spawn", "os.exec", "os.fork", "pty.spawn")
OTHERS = ("socket.connect", "socket.bind", "ctypes.dlopen", "webbrowser.open")
CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.link", "os.symlink")


@dataclass(frozen=True)
class Outcome:
    """What came of one input with one parser; `fault` is what must not have been."""

    said: str
    fault: str = ""


class Guard:
    """Listens while `allowed` is set; Python's audit hooks cannot be taken away again."""

    def __init__(self) -> None:
        self.allowed: Path | None = None
        self.seen: list[str] = []
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.allowed is None:
            return
        if event in STARTED or event in OTHERS:
            self.seen.append(f"{event} {arguments!r:.80}")
        elif event == "import" and arguments[0].startswith("hostile.canary"):
            self.seen.append("code of the data's was imported")
        elif event == "open":
            path, _, flags = arguments
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writes and not self._inside(path):
                self.seen.append(f"open {path} to write")
        elif event in CHANGES and not self._inside(arguments[0]):
            self.seen.append(f"{event} {arguments[0]}")

    def _inside(self, path: Any) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return True  # an open file's number
        text = os.path.abspath(os.fsdecode(path))
        return text == os.devnull or text.startswith(str(self.allowed))


_guards: list[Guard] = []


def guard() -> Guard:
    """The one of this process."""
    if not _guards:
        release_thread_pool()  # which looks up OpenMP's library when it is first called
        _guards.append(Guard())
    return _guards[0]


def judged(read: Callable[[Path], object], folder: Path) -> Outcome:
    """Have a parser read an input and judge what it does."""
    watch = guard()
    reset_peak()
    watch.seen, watch.allowed = [], folder.absolute()
    before, start = resident(), time.process_time()
    fault = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read(folder)
        said = "a result"
    except OWN as error:
        said, fault = "an error", unclear(error)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            watch.allowed = None
            raise
        said = "another error"
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}:{where.lineno}"
        fault = f"{type(error).__name__} at {place}: {error!s:.160}"
    watch.allowed = None
    seconds, grown = time.process_time() - start, peak() - before
    if seconds > MOST_SECONDS:
        fault = fault or f"took {seconds:.1f} s"
    if grown > MOST_BYTES:
        fault = fault or f"took {grown / 2**30:.1f} GB"
    if watch.seen:
        fault = f"the data had its way: {watch.seen[0]}"
    return Outcome(said, fault)


def unclear(error: BaseException) -> str:
    """Why the message of an error is no clear line; empty where it is."""
    text = str(error)
    if not text.strip():
        return f"{type(error).__name__} says nothing"
    if not is_plain_line(text):
        return f"{type(error).__name__} says what a terminal would obey: {text!a:.200}"
    if len(text) > MOST_LETTERS:
        return f"{type(error).__name__} says {len(text)} letters: {text:.100}"
    return ""


def reset_peak() -> None:
    with suppress(OSError):  # another system: the peak is then that of the whole process
        Path("/proc/self/clear_refs").write_text("5")


def resident() -> int:
    return _status("VmRSS")


def peak() -> int:
    return _status("VmHWM")


def _status(name: str) -> int:
    """A figure of this process in bytes; 0 where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))
