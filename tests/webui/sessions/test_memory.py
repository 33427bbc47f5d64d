"""What is kept of sessions in memory: those used last, and nothing of a session is lost by it."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from webui.sessions import state
from webui.sessions import store as module
from webui.sessions.state import Picture, Session
from webui.sessions.store import SessionStore

MOST = 3


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SessionStore:
    monkeypatch.setattr(module, "MOST_IN_MEMORY", MOST)
    return SessionStore(tmp_path)


def in_memory(store: SessionStore) -> list[str]:
    return list(store._known)


def named(session: Session, name: str) -> Session:
    return replace(session, name=name)


def test_the_sessions_used_last_are_kept(store: SessionStore) -> None:
    keys = [store.create(Session(name=f"{number}")) for number in range(5)]
    assert in_memory(store) == keys[2:]
    store.load(keys[2])
    assert store.load(keys[0]).name == "0"  # from the disk
    assert in_memory(store) == [keys[4], keys[2], keys[0]]
    for key in ("0" * 24, "1" * 24):  # of which there are none
        with pytest.raises(KeyError):
            store.load(key)
    assert len(in_memory(store)) == MOST


def test_numbers_that_were_given_away_are_not_forgotten(store: SessionStore) -> None:
    key = store.create(Session())
    (first,) = store.names(key)
    for number in range(2 * MOST):
        store.create(Session(name=f"{number}"))
    assert key in in_memory(store)  # its picture is still being generated
    (second,) = store.names(key)
    assert (first, second) == ("0001", "0002")
    made = [Picture(name, f"pictures/{name}.png") for name in (first, second)]
    store.update(key, lambda session: state.add(session, made))
    for number in range(MOST):
        store.create(Session(name=f"{number}"))
    assert key not in in_memory(store)
    assert store.names(key) == ["0003"]


def test_a_session_in_use_keeps_its_lock(store: SessionStore) -> None:
    key = store.create(Session())
    changing, go = threading.Event(), threading.Event()

    def slowly(session: Session) -> Session:
        changing.set()
        assert go.wait(10)
        return named(session, "first")

    first = threading.Thread(target=store.update, args=(key, slowly))
    first.start()
    assert changing.wait(10)
    for number in range(2 * MOST):
        store.create(Session(name=f"{number}"))
    seen: list[str] = []

    def after(session: Session) -> Session:
        seen.append(session.name)
        return named(session, "second")

    second = threading.Thread(target=store.update, args=(key, after))
    second.start()
    go.set()
    for thread in (first, second):
        thread.join(10)
    assert seen == ["first"]
    assert SessionStore(store.folder).load(key).name == "second"


def test_many_threads_lose_no_change(store: SessionStore) -> None:
    keys = [store.create(Session()) for _ in range(2 * MOST)]

    def visit(number: int) -> None:
        for turn in range(20):
            key = keys[(number + turn) % len(keys)]
            store.update(key, lambda s: replace(s, name=f"{int(s.name or 0) + 1}"))

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(int(store.load(key).name) for key in keys) == 6 * 20
    assert len(in_memory(store)) <= MOST
