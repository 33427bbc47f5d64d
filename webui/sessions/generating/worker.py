"""One thread that generates, a queue before it, and a way to look at it and to stop it.

A visitor has one task at a time. The page never waits for a task: it looks at its `Progress` as
often as it likes, and the task hands its result over itself, whether anybody looks or not.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

LOG = logging.getLogger(__name__)
REMEMBERED = 100  # finished tasks whose visitors may still want to look


class BusyError(ValueError):
    """The visitor's last task is not finished."""


@dataclass(frozen=True)
class Progress:
    """How far a task is.

    Attributes:
        state: `waiting`, `running`, `done` or `failed`.
        ahead: tasks that come before a waiting one.
        step, steps: done, and the most there will be.
        frame: what the task wants to be seen of the last step.
        error: one line for the visitor, where it failed.
        stopping: it was asked to stop.
        left: seconds until it is done, with those that come before it; None where none is known.
        outcome: what the visitor is to be told in the end: the name of a string and its facts.
    """

    state: str = "waiting"
    ahead: int = 0
    step: int = 0
    steps: int = 1
    frame: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    stopping: bool = False
    left: float | None = None
    outcome: tuple[str, Mapping[str, Any]] | None = None

    @property
    def active(self) -> bool:
        return self.state in ("waiting", "running")


class Ticket:
    """A task in the hands of the thread that carries it out."""

    def __init__(self, run: Callable[[Ticket], None], steps: int) -> None:
        self.run = run
        self.stop = threading.Event()
        self.progress = Progress(steps=steps)
        self.started = 0.0

    def report(self, step: int, **frame: Any) -> None:
        """Say how far it is; `frame` replaces what was to be seen before."""
        self.progress = replace(self.progress, step=step, frame=frame)

    def conclude(self, name: str, **facts: Any) -> None:
        """Say what the visitor is to be told in the end, as the name of a string and its facts."""
        self.progress = replace(self.progress, outcome=(name, facts))


class Worker:
    """Carries out tasks one after another, on a thread that starts with the first."""

    def __init__(self) -> None:
        self._tickets: OrderedDict[str, Ticket] = OrderedDict()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._a_step: float | None = None  # seconds, as they were last

    def submit(self, key: str, steps: int, run: Callable[[Ticket], None]) -> None:
        """Queue a task of visitor `key`.

        Raises:
            BusyError: the one before is not finished.
        """
        with self._changed:
            last = self._tickets.get(key)
            if last is not None and last.progress.active:
                raise BusyError("the last drawing is not finished yet; wait for it, or stop it")
            self._tickets.pop(key, None)
            self._tickets[key] = Ticket(run, steps)
            over = [name for name, old in self._tickets.items() if not old.progress.active]
            for name in over[:-REMEMBERED]:
                del self._tickets[name]
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="ufc-draw", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def progress(self, key: str) -> Progress | None:
        """How far a visitor's last task is; None where there is none."""
        with self._changed:
            ticket = self._tickets.get(key)
            if ticket is None:
                return None
            ahead = 0
            if ticket.progress.state == "waiting":
                before = list(self._tickets)[: list(self._tickets).index(key)]
                ahead = sum(self._tickets[other].progress.active for other in before)
                waiting = [self._tickets[other] for other in before]
            else:
                waiting = []
            left = self._left([*waiting, ticket])
            stopping = ticket.stop.is_set()
            return replace(ticket.progress, ahead=ahead, stopping=stopping, left=left)

    def _left(self, tickets: Sequence[Ticket]) -> float | None:
        """Seconds until these are done, by how long steps have taken."""
        running = next((t for t in self._tickets.values() if t.progress.state == "running"), None)
        if running is not None and running.progress.step:
            elapsed = time.monotonic() - running.started
            self._a_step = elapsed / running.progress.step
        if self._a_step is None:
            return None
        steps = (t.progress.steps - t.progress.step for t in tickets if t.progress.active)
        return self._a_step * sum(steps)

    def stop(self, key: str) -> None:
        """Ask a task to stop after its step; one that waits is taken out of the queue."""
        with self._changed:
            ticket = self._tickets.get(key)
            if ticket is None:
                return
            ticket.stop.set()
            if ticket.progress.state == "waiting":
                ticket.progress = replace(ticket.progress, state="done")
                self._changed.notify_all()

    def forget(self, key: str) -> None:
        """Drop what is known of a task that is finished."""
        with self._changed:
            ticket = self._tickets.get(key)
            if ticket is not None and not ticket.progress.active:
                del self._tickets[key]

    def wait(self, key: str, timeout: float | None = None) -> Progress | None:
        """Block until a visitor's task is finished: for scripts and tests."""

        def finished() -> bool:
            ticket = self._tickets.get(key)
            return ticket is None or not ticket.progress.active

        with self._changed:
            self._changed.wait_for(finished, timeout)
        return self.progress(key)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._next() is not None)
                ticket = self._next()
                assert ticket is not None
                ticket.progress = replace(ticket.progress, state="running")
                ticket.started = time.monotonic()
            error = None
            try:
                ticket.run(ticket)
            except Exception as failure:  # whatever it is, the next task is another visitor's
                LOG.exception("a drawing failed")
                error = " ".join(str(failure).split()) or type(failure).__name__
            with self._changed:
                state = "done" if error is None else "failed"
                ticket.progress = replace(ticket.progress, state=state, error=error)
                self._changed.notify_all()

    def _next(self) -> Ticket | None:
        waiting = (t for t in self._tickets.values() if t.progress.state == "waiting")
        return next(waiting, None)
