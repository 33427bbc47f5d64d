"""SIGINT and SIGTERM during a training: the step at hand ends, then the run is told to."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

ECHO = 1.0  # seconds; launchers, terminals and `timeout` send one signal several times
NAMES = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """A signal has ended the run; the message says what was saved. `code` is the exit code."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.code = 128 + number


class Diverged(RuntimeError):
    """Losses or weights are not finite any more; the message names the last good checkpoint."""

    code = 1


class _BrokenOff(BaseException):
    """Ends what `Signals.breakable` surrounds."""


class Signals:
    """Keeps the first SIGINT or SIGTERM as `number`; a second one does what it did before.

    A context manager. Only a process's main thread may listen; elsewhere it does nothing, as it
    does for signals that are ignored (`nohup`, `&`).
    """

    def __init__(self) -> None:
        self.number = 0
        self._since = 0.0
        self._breakable = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in NAMES:
                before = signal.getsignal(number)
                if before not in (None, signal.SIG_IGN):
                    self._before[number] = before
                    signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before.clear()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self.number:
            self.number, self._since = number, time.monotonic()
            if self._breakable:
                raise _BrokenOff
        elif time.monotonic() - self._since > ECHO:
            self.__exit__(None, None, None)
            signal.raise_signal(number)

    @contextmanager
    def breakable(self) -> Iterator[None]:
        """Around work that loses nothing when it breaks off, as the first signal makes it do."""
        self._breakable = True
        try:
            yield
        except _BrokenOff:
            pass
        finally:
            self._breakable = False


def worker_signals(worker: int) -> None:
    """For a `DataLoader`'s `worker_init_fn`: a signal to the whole process group is the trainer's.

    Ctrl-C passes workers by, so that the step at hand gets its batch; SIGTERM ends them without
    an error, which the trainer would otherwise be thrown in the middle of a step.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))
