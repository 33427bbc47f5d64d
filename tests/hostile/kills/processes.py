"""Work in a process that can be killed."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch

WHOLE = 600.0  # seconds that whole work may take


class Process(Protocol):
    """A process at work."""

    def finishes(self) -> int | None:
        """Its exit code once all is done, below zero for a signal; None where it takes too long."""

    def ends(self, seconds: float) -> int | None:
        """The same within so long, in which some of it may be done."""

    def kill(self, number: signal.Signals) -> None:
        """Send it a signal."""


class Child:
    """A child of this process by its number."""

    def __init__(self, number: int) -> None:
        self.number = number

    def finishes(self) -> int | None:
        return self.ends(WHOLE)

    def ends(self, seconds: float) -> int | None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found, status = os.waitpid(self.number, os.WNOHANG)
            if found:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.005)
        return None

    def kill(self, number: signal.Signals) -> None:
        os.kill(self.number, number)


def started(work: Callable[[], object], log: Path) -> Child:
    """Do something in a fork of this process, with what it says in a file."""
    sys.stdout.flush()
    # A signal that comes before the child is ready for it waits.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
    number = os.fork()
    if number:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return Child(number)
    code = 1
    torch.set_num_threads(1)  # a forked child has torch's pools, but not their threads
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.stdout = sys.stderr = os.fdopen(file, "w", buffering=1)  # a test may have taken them
        work()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except KeyboardInterrupt:
        code = 130
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)
