"""The thread that generates: one task after another, to be looked at and stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from webui.sessions.generating.worker import MOST_QUEUED, BusyError, Ticket, Worker

LONG = 20.0  # seconds that nothing here takes


def test_tasks_run_one_after_another_and_are_counted_while_they_wait() -> None:
    worker, go, order = Worker(), threading.Event(), []

    def task(name: str) -> object:
        def run(ticket: Ticket) -> None:
            go.wait(LONG)
            order.append(name)

        return run

    for name in "abc":
        worker.submit(name, 1, task(name))  # type: ignore[arg-type]
    waiting = worker.progress("c")
    assert waiting is not None
    assert (waiting.state, waiting.ahead) == ("waiting", 2)
    go.set()
    assert worker.wait("c", LONG).state == "done"  # type: ignore[union-attr]
    assert order == ["a", "b", "c"]


def test_a_visitor_has_so_many_tasks_and_no_more() -> None:
    worker, go = Worker(), threading.Event()
    for number in range(MOST_QUEUED):
        worker.submit("a", 1, lambda ticket: go.wait(LONG) and None, f"task {number}")
    with pytest.raises(BusyError, match="take one out"):
        worker.submit("a", 1, lambda ticket: None)
    worker.submit("b", 1, lambda ticket: None)
    assert [one.label for one in worker.queue("a")] == [f"task {n}" for n in range(1, MOST_QUEUED)]
    assert worker.queue("b") == []
    go.set()
    assert worker.wait("a", LONG).state == "done"  # type: ignore[union-attr]
    assert len(worker.finished("a")) == MOST_QUEUED


def test_each_window_is_told_how_tasks_ended_in_the_order_in_which_they_did() -> None:
    worker, go = Worker(), threading.Event()
    worker.submit("a", 1, lambda ticket: go.wait(LONG) and None, "first")
    worker.submit("a", 1, lambda ticket: None, "second")
    (second,) = worker.queue("a")
    worker.stop("a", second.number)  # ends before the first
    (out,) = worker.finished("a", worker.said("a"))
    assert out.number == second.number
    go.set()
    worker.wait("a", LONG)
    (first,) = worker.finished("a", out.ended)
    assert first.number < out.number
    assert worker.finished("a", out.ended) == [first]  # another window
    assert worker.said("a") == first.ended
    assert worker.finished("a", first.ended) == []


def until_stopped(started: threading.Event) -> Callable[[Ticket], None]:
    """A task that says when it has begun, and ends when it is stopped."""

    def task(ticket: Ticket) -> None:
        started.set()
        assert ticket.stop.wait(LONG)

    return task


def test_all_of_ones_own_are_stopped_and_no_others() -> None:
    worker, started, ran = Worker(), threading.Event(), []
    worker.submit("a", 5, until_stopped(started))
    worker.submit("a", 5, lambda ticket: ran.append("a"))
    worker.submit("b", 5, lambda ticket: ran.append("b"))
    started.wait(LONG)
    worker.stop_all("a")
    for key in "ab":
        worker.wait(key, LONG)
    assert ran == ["b"]


def test_visitors_take_turns() -> None:
    worker, go, order = Worker(), threading.Event(), []

    def task(name: str) -> Callable[[Ticket], None]:
        def run(ticket: Ticket) -> None:
            go.wait(LONG)
            order.append(name)

        return run

    for name in ("a1", "a2", "a3", "b1", "c1", "b2"):
        worker.submit(name[0], 1, task(name), name)
    assert worker.progress("b").ahead == 1  # type: ignore[union-attr]
    go.set()
    for key in "abc":
        worker.wait(key, LONG)
    assert order == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_one_who_asks_again_and_again_keeps_nobody_waiting() -> None:
    worker, order = Worker(), []
    again = {"a": 6, "b": 6}

    def run(ticket: Ticket) -> None:
        order.append(ticket.label)
        other = "b" if ticket.key == "a" else "a"
        if ticket.key in again and again[other]:
            again[other] -= 1
            worker.submit(other, 1, run, other)

    go = threading.Event()

    def first(ticket: Ticket) -> None:
        go.wait(LONG)
        run(ticket)

    worker.submit("a", 1, first, "a")
    for name in ("c1", "c2"):
        worker.submit("c", 1, run, name)
    go.set()
    worker.wait("c", LONG)
    for key in "ab":
        worker.wait(key, LONG)
    assert order.index("c2") <= 5


def test_one_that_waits_behind_ones_own_is_taken_out() -> None:
    worker, go, ran, followed = Worker(), threading.Event(), [], []

    def first(ticket: Ticket) -> None:
        go.wait(LONG)
        followed.append(ticket.followed())

    worker.submit("a", 1, first, "first")
    for name in ("second", "third"):
        worker.submit("a", 1, lambda ticket, name=name: ran.append(name), name)  # type: ignore[misc]
    second, third = worker.queue("a")
    worker.stop("a", second.number)
    assert [one.label for one in worker.queue("a")] == [third.label]
    go.set()
    worker.wait("a", LONG)
    assert (ran, followed) == (["third"], [True])


def test_a_running_task_is_asked_to_stop_and_a_waiting_one_never_starts() -> None:
    worker, started, ran = Worker(), threading.Event(), []
    worker.submit("a", 5, until_stopped(started))
    worker.submit("b", 5, lambda ticket: ran.append("b"))
    started.wait(LONG)
    worker.stop("b")
    worker.stop("a")
    worker.stop("nobody")
    assert worker.wait("a", LONG).stopping  # type: ignore[union-attr]
    assert worker.wait("b", LONG).state == "done"  # type: ignore[union-attr]
    assert ran == []


def test_one_visitors_error_is_theirs_alone() -> None:
    worker = Worker()

    def fail(ticket: Ticket) -> None:
        ticket.report(1, seen="this")
        raise RuntimeError("no\nluck")

    worker.submit("a", 2, fail)
    worker.submit("b", 2, lambda ticket: ticket.report(2))
    failed, fine = worker.wait("a", LONG), worker.wait("b", LONG)
    assert failed is not None
    assert (failed.state, failed.error, failed.frame) == ("failed", "no luck", {})
    assert fine is not None
    assert (fine.state, fine.step) == ("done", 2)
    assert [one.error for one in worker.finished("a")] == ["no luck"]
    assert worker.progress("never there") is None
