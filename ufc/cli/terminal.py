"""Where a command's words go: results to standard output, everything else to standard error."""

from __future__ import annotations

import errno
import json
import os
import sys
import traceback
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from ufc.io.validation import shown
from ufc_base.entry import reason

DONE, FAILURE, BAD_INPUT, SOME_FAILED, INTERRUPTED = 0, 1, 2, 3, 130


class Terminal(AbstractContextManager["Terminal"]):
    """Results, notices and progress of one command.

    `quiet` silences notices and progress, never results or errors; `as_json` writes each result
    as one line of JSON.
    """

    def __init__(self, *, quiet: bool = False, as_json: bool = False) -> None:
        self.quiet = quiet
        self.as_json = as_json
        self._progress: Any = None
        self._task: Any = None

    def result(self, text: str, data: Mapping[str, Any]) -> None:
        """One result, as text for people or as JSON for programs."""
        line = json.dumps(data, ensure_ascii=False) if self.as_json else text
        self._pause()
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
        self._go_on()

    def notice(self, text: str) -> None:
        """A line for the person at work, unless quiet."""
        if not self.quiet:
            self.error(text)

    def error(self, text: str) -> None:
        """A line that is always seen."""
        self._pause()
        say(text)
        self._go_on()

    def start(self, total: int, what: str) -> None:
        """Show a progress bar, if somebody is looking."""
        if self.quiet or not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,
        )
        self._task = self._progress.add_task(what, total=total)
        self._progress.start()

    def advance(self, amount: float) -> None:
        """Move the progress bar on; fractions are steps within a picture."""
        if self._progress is not None:
            self._progress.advance(self._task, amount)

    def reach(self, done: float) -> None:
        """Set the progress bar to so many pictures."""
        if self._progress is not None:
            self._progress.update(self._task, completed=done)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pause()
        self._progress = None

    def _pause(self) -> None:
        if self._progress is not None:
            self._progress.stop()

    def _go_on(self) -> None:
        if self._progress is not None:
            self._progress.start()


def say(text: str) -> None:
    """One line to standard error, control characters shown as a replacement mark."""
    line = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def explain(error: BaseException, resume: str = "--resume") -> tuple[int, str]:
    """Exit code and one line for an error that ends a command; `resume` is how to go on."""
    text = reason(error)
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, f"interrupted; what is done is kept, go on with {resume}"
    if hasattr(error, "format_message"):  # the command line itself was wrong
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "ufc"
        message = " ".join(str(error.format_message()).split()).replace("Value error, ", "")
        message = message.replace("Input should be", f"got {_input(error)}, wanted", 1)
        message = message.partition(", unable to parse")[0]
        return BAD_INPUT, f"{message.rstrip('.')}. See `{command} --help`."
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FAILURE, f"the disk is full; free some space and go on with {resume}"
    if isinstance(error, ValueError):
        return BAD_INPUT, text
    if isinstance(error, MemoryError):
        return FAILURE, "out of memory; try a smaller --batch-size or fewer --num-candidates"
    if isinstance(error, OSError):
        return FAILURE, text
    return FAILURE, f"{type(error).__name__}: {text} (UFC_DEBUG=1 shows where)"


def _input(error: BaseException) -> str:
    """What was written where a flag's value did not have its type."""
    details = getattr(error.__cause__, "errors", None)  # pydantic's, through typer
    return shown(details()[0].get("input")) if details else "something else"


def report(error: BaseException, resume: str = "--resume") -> int:
    """Say what went wrong and return the exit code; `UFC_DEBUG=1` adds the traceback."""
    if os.environ.get("UFC_DEBUG"):
        traceback.print_exception(error)
    code, text = explain(error, resume)
    say(f"ufc: {text}")
    return code
