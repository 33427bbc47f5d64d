"""One thread that generates, a queue before it, and a way to look at it and to stop it.

Visitors take turns, however many tasks each has put in the queue. The page never waits for a task:
it looks at its `Progress` as often as it likes, and the task hands its result over itself, whether
anybody looks or not.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

LOG = logging.getLogger(__name__)
REMEMBERED = 100  # finished tasks whose visitors may still want to look
MOST_QUEUED = 8  # tasks of a visitor that are not finished
MOST_IN_ALL = 256  # of all visitors


class BusyError(ValueError):
    """There are as many tasks in the queue as there may be."""


@dataclass(frozen=True)
class Progress:
    """How far a task is.

    Attributes:
        number: of the task, among all.
        state: `waiting`, `running`, `done` or `failed`.
        ahead: tasks that come before a waiting one.
        step, steps: done, and the most there will be.
        frame: what the task wants to be seen of the last step.
        error: one line for the visitor, where it failed.
        stopping: it was asked to stop.
        left: seconds until it is done, with those that come before it; None where none is known.
        outcome: what the visitor is to be told in the end: the name of a string and its facts.
        ended: its place among all that ended, counted from 1; 0 while it is not finished.
    """

    number: int = 0
    state: str = "waiting"
    ahead: int = 0
    step: int = 0
    steps: int = 1
    frame: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    stopping: bool = False
    left: float | None = None
    outcome: tuple[str, Mapping[str, Any]] | None = None
    ended: int = 0

    @property
    def active(self) -> bool:
        return self.state in ("waiting", "running")


@dataclass(frozen=True)
class Waiting:
    """A task of a visitor that waits for another of theirs: its number, name, and seconds left."""

    number: int
    label: str
    left: float | None


class Ticket:
    """A task in the hands of the thread that carries it out.

    Attributes:
        label: what its visitor calls it.
        turn: when it comes; see `Worker`.
        weight: how many pictures a step works at.
        followed: whether a further task of the same visitor waits.
    """

    def __init__(
        self,
        run: Callable[[Ticket], None],
        steps: int,
        key: str = "",
        label: str = "",
        number: int = 0,
        turn: int = 0,
        weight: int = 1,
        followed: Callable[[], bool] = lambda: False,
    ) -> None:
        self.run = run
        self.key, self.label, self.number = key, label, number
        self.turn, self.weight = turn, weight
        self.followed = followed
        self.stop = threading.Event()
        self.progress = Progress(number, steps=steps)
        self.started = 0.0

    @property
    def left(self) -> int:
        """Pictures' steps that are to be done yet."""
        return (self.progress.steps - self.progress.step) * self.weight

    def report(self, step: int, **frame: Any) -> None:
        """Say how far it is; `frame` replaces what was to be seen before."""
        self.progress = replace(self.progress, step=step, frame=frame)

    def conclude(self, name: str, **facts: Any) -> None:
        """Say what the visitor is to be told in the end, as the name of a string and its facts."""
        self.progress = replace(self.progress, outcome=(name, facts))


class Worker:
    """Carries out tasks one after another, on a thread that starts with the first.

    A visitor's next task takes its turn when all others have had theirs (fair queueing): it gets a
    turn one later than the visitor's last, and no earlier than the one that is at work.
    """

    def __init__(self) -> None:
        self._tickets: list[Ticket] = []
        self._numbers, self._endings = itertools.count(1), itertools.count(1)
        self._said: dict[str, int] = {}  # the last ending of each visitor's that was asked for
        self._turn = 0
        self._last: dict[str, int] = {}  # the last turn of each visitor
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._a_step: float | None = None  # seconds of one picture's, as they were last

    def check_room(self, key: str) -> None:
        """Raise `BusyError` where visitor `key` can queue nothing now."""
        with self._changed:
            line = self._line()
            own = sum(ticket.key == key for ticket in line)
            if own >= MOST_QUEUED:
                raise BusyError(f"{own} tasks wait already; wait for one, or take one out")
            if len(line) >= MOST_IN_ALL:
                raise BusyError(f"{len(line)} tasks of all visitors wait already; try again later")

    def submit(
        self,
        key: str,
        steps: int,
        run: Callable[[Ticket], None],
        label: str = "",
        weight: int = 1,
    ) -> None:
        """Queue a task of visitor `key`, whose steps each work at `weight` pictures.

        Raises:
            BusyError: there is no room.
        """
        with self._changed:
            self.check_room(key)
            turn = max(self._turn, self._last.get(key, -1) + 1)
            self._last = {k: t for k, t in self._last.items() if t >= self._turn} | {key: turn}
            followed = partial(self._followed, key)
            number = next(self._numbers)
            self._tickets.append(Ticket(run, steps, key, label, number, turn, weight, followed))
            over = [ticket for ticket in self._tickets if not ticket.progress.active]
            for old in over[:-REMEMBERED]:
                self._tickets.remove(old)
            of = {ticket.key for ticket in self._tickets}
            self._said = {k: said for k, said in self._said.items() if k in of}
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="ufc-draw", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def progress(self, key: str) -> Progress | None:
        """How far the visitor's task is that comes first, or the last one went that is finished;
        None where there is none."""
        with self._changed:
            ticket = self._front(key)
            if ticket is None:
                return None
            line = self._line()
            before = line[: line.index(ticket)] if ticket in line else []
            waits = ticket.progress.state == "waiting"
            left = self._left([*before, ticket])
            return replace(
                ticket.progress,
                ahead=len(before) if waits else 0,
                stopping=ticket.stop.is_set(),
                left=left,
            )

    def queue(self, key: str) -> list[Waiting]:
        """The visitor's further tasks, in the order in which they will be carried out."""
        with self._changed:
            line = self._line()
            own = [at for at, ticket in enumerate(line) if ticket.key == key]
            return [
                Waiting(line[at].number, line[at].label, self._left(line[: at + 1]))
                for at in own[1:]
            ]

    def finished(self, key: str, after: int = 0) -> list[Progress]:
        """How the visitor's tasks ended, in that order, that ended `after` another."""
        with self._changed:
            own = (ticket.progress for ticket in self._tickets if ticket.key == key)
            over = sorted((one for one in own if one.ended > after), key=lambda one: one.ended)
            if over:
                self._said[key] = max(over[-1].ended, self._said.get(key, 0))
            return over

    def said(self, key: str) -> int:
        """The place of the last ending that any of the visitor's windows asked for."""
        with self._changed:
            return self._said.get(key, 0)

    def active(self, key: str) -> bool:
        """Whether a visitor has a task that is not finished."""
        with self._changed:
            return any(ticket.key == key for ticket in self._line())

    def stop(self, key: str, number: int | None = None) -> None:
        """Ask the visitor's first task, or the one of this number, to stop after its step; one
        that waits is taken out of the queue."""
        with self._changed:
            own = (t for t in self._line() if t.key == key and number in (None, t.number))
            ticket = next(own, None)
            if ticket is not None:
                self._stop(ticket)

    def stop_all(self, key: str) -> None:
        """Ask the visitor's task at work to stop after its step, and take out those that wait."""
        with self._changed:
            for ticket in [ticket for ticket in self._line() if ticket.key == key]:
                self._stop(ticket)

    def wait(self, key: str, timeout: float | None = None) -> Progress | None:
        """Block until a visitor's tasks are finished: for scripts and tests."""
        with self._changed:
            self._changed.wait_for(lambda: not self.active(key), timeout)
        return self.progress(key)

    def _stop(self, ticket: Ticket) -> None:
        ticket.stop.set()
        if ticket.progress.state == "waiting":
            self._end(ticket)

    def _end(self, ticket: Ticket, error: str | None = None) -> None:
        """A task is finished; of what it holds nothing is kept but the word of how it went."""
        state = "done" if error is None else "failed"
        ended = next(self._endings)
        ticket.progress = replace(ticket.progress, state=state, error=error, ended=ended, frame={})
        ticket.run = nothing
        self._changed.notify_all()

    def _line(self) -> list[Ticket]:
        """The tasks that are not finished, in the order in which they are carried out."""
        active = [ticket for ticket in self._tickets if ticket.progress.active]
        return sorted(active, key=lambda t: (t.progress.state != "running", t.turn, t.number))

    def _front(self, key: str) -> Ticket | None:
        active = (ticket for ticket in self._line() if ticket.key == key)
        over = (t for t in reversed(self._tickets) if t.key == key and not t.progress.active)
        return next(itertools.chain(active, over), None)

    def _followed(self, key: str) -> bool:
        with self._changed:
            return any(t.key == key and t.progress.state == "waiting" for t in self._tickets)

    def _left(self, tickets: Sequence[Ticket]) -> float | None:
        """Seconds until these are done, by how long steps have taken."""
        running = next((t for t in self._tickets if t.progress.state == "running"), None)
        if running is not None and running.progress.step:
            elapsed = time.monotonic() - running.started
            self._a_step = elapsed / (running.progress.step * running.weight)
        if self._a_step is None:
            return None
        return self._a_step * sum(ticket.left for ticket in tickets if ticket.progress.active)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._line()))
                ticket = self._line()[0]
                ticket.progress = replace(ticket.progress, state="running")
                ticket.started, self._turn = time.monotonic(), ticket.turn
            error = None
            try:
                ticket.run(ticket)
            except Exception as failure:  # whatever it is, the next task is another visitor's
                LOG.exception("a drawing failed")
                error = " ".join(str(failure).split()) or type(failure).__name__
            with self._changed:
                self._end(ticket, error)


def nothing(ticket: Ticket) -> None:
    """What is left to do for a task that is finished."""
