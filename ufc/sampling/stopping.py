"""Stopping a pipeline's calls: each has a flag of its own, so that none ends another's.

Inside a callback the call that is meant is the one that runs in this thread; from elsewhere all
calls that are running are. A flag lives as long as its call, from its very start.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(eq=False)
class Call:
    """One call that is running, in one thread."""

    thread: int = field(default_factory=threading.get_ident)
    stopped: bool = False

    def stop(self) -> None:
        """End this call after the step that it is at."""
        self.stopped = True


@contextmanager
def running(calls: list[Call]) -> Iterator[Call]:
    """A call that is among `calls` while it runs."""
    call = Call()
    calls.append(call)
    try:
        yield call
    finally:
        calls.remove(call)


def own_call(calls: list[Call]) -> Call | None:
    """The innermost call that runs in this thread."""
    here = threading.get_ident()
    return next((call for call in reversed(calls.copy()) if call.thread == here), None)
