"""Where a command's words go: results to standard output, everything else to standard error."""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from ufc.cli.usage import usage_problem
from ufc.tasks.errors import InstructionError
from ufc_base.entry import (
    BAD_INPUT,
    DONE,
    FAILURE,
    INTERRUPTED,
    SOME_FAILED,
    account,
    can_show,
    code_of,
    show_trace,
    understood,
    write_line,
)
from ufc_base.program import UsageError

__all__ = ["BAD_INPUT", "DONE", "FAILURE", "INTERRUPTED", "SOME_FAILED", "Terminal", "report"]


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
        line = text
        if self.as_json:
            line = json.dumps(data, ensure_ascii=False)
            if not can_show(sys.stdout, line):
                line = json.dumps(data)
        self._pause()
        write_line(sys.stdout, line)
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
    """One line to standard error."""
    write_line(sys.stderr, " ".join(text.split()))


def explain(error: BaseException, resume: str = "--resume") -> tuple[int, str]:
    """Exit code and one line for an error that ends a command; `resume` is how to go on."""
    error = understood(error)
    code = BAD_INPUT if isinstance(error, UsageError) else code_of(error)
    if isinstance(error, KeyboardInterrupt):
        return code, f"interrupted; what is done is kept, go on with {resume}"
    if isinstance(error, UsageError):
        return code, usage_problem(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return code, f"the disk is full; free some space and go on with {resume}"
    if isinstance(error, MemoryError):
        return code, "out of memory; try a smaller --batch-size or fewer --num-candidates"
    return code, account(error)


def report(error: BaseException, resume: str = "--resume") -> int:
    """Say what went wrong and return the exit code; `UFC_DEBUG=1` adds the traceback."""
    show_trace(error)
    code, text = explain(error, resume)
    if isinstance(error, InstructionError):
        for line in error.excerpt:
            write_line(sys.stderr, f"  {line}")
    say(f"ufc: {text}")
    return code
