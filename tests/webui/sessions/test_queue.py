"""Several generations of one session, one after another."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from conftest import make_pipeline
from studio_helpers import LONG, begin, change, mark

from ufc.requests.loading import ModelSettings
from webui.sessions import studio as module
from webui.sessions.generating import worker
from webui.sessions.generating.generation import GenerationJob
from webui.sessions.generating.worker import MOST_QUEUED, BusyError, Ticket
from webui.sessions.studio import Studio


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    make_pipeline().save_pretrained(tmp_path / "tiny")
    return Studio(tmp_path / "out", ModelSettings(str(tmp_path / "tiny")))


def test_several_are_asked_for_one_after_another(studio: Studio) -> None:
    key = begin(studio, seed_locked=False)
    for words in ("men's blue shirt", "a red bag", "a green bag"):
        change(studio, key, prompt=words)
        studio.generate(key)
        studio.generate(key)  # a double click
    assert studio.store.load(key).pending
    studio.worker.wait(key, LONG)
    session = studio.store.load(key)
    assert not session.pending and not studio.cut_off(key)
    assert len({picture.seed for picture in session.pictures}) == 3
    asked = [picture.request["prompt"] for picture in session.pictures]
    assert asked == ["men's blue shirt", "a red bag", "a green bag"]


def test_marks_on_a_picture_that_is_generated_are_of_that_picture(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = begin(studio)
    go, at_work = threading.Event(), GenerationJob.run

    def slowly(job: GenerationJob, ticket: Ticket) -> None:
        go.wait(LONG)
        at_work(job, ticket)

    monkeypatch.setattr(GenerationJob, "run", slowly)
    studio.generate(key)
    mark(studio, key, 3, 4)
    studio.generate(key)
    studio.generate(key)  # the same within a second
    waiting = studio.worker.queue(key)
    go.set()
    studio.worker.wait(key, LONG)
    first, second = studio.store.load(key).pictures
    assert len(waiting) == 1 and second.parent == first.id
    assert set(second.kept) == set(range(16)) - {3, 4}


def test_what_waits_is_taken_out_by_its_number(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = begin(studio)
    go = threading.Event()
    monkeypatch.setattr(GenerationJob, "run", lambda job, ticket: go.wait(LONG) and None)
    studio.generate(key)
    change(studio, key, prompt="a red bag")
    studio.generate(key)
    (waiting,) = studio.worker.queue(key)
    studio.stop(key, waiting.number)
    assert studio.worker.queue(key) == [] and studio.store.load(key).pending
    go.set()
    studio.worker.wait(key, LONG)
    assert not studio.store.load(key).pending


def test_the_seed_stays_where_there_is_no_room(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = begin(studio, seed_locked=False)
    go = threading.Event()
    monkeypatch.setattr(GenerationJob, "run", lambda job, ticket: go.wait(LONG) and None)
    for number in range(MOST_QUEUED):
        change(studio, key, prompt=f"bag {number}")
        studio.generate(key)
    change(studio, key, prompt="one more")
    before = studio.store.load(key)
    with pytest.raises(BusyError):
        studio.generate(key)
    assert studio.store.load(key) == before
    for _ in range(MOST_QUEUED):
        studio.stop(key)
    go.set()
    studio.worker.wait(key, LONG)


def test_nothing_is_kept_of_sessions_whose_pictures_are_done(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "REMEMBERED", 2)
    monkeypatch.setattr(module, "DOUBLE_CLICK", 0.0)
    keys = [begin(studio) for _ in range(5)]
    for key in keys:
        studio.generate(key)
        studio.worker.wait(key, LONG)
        assert len(studio.worker.finished(key)) == 1
    assert not studio._under_way
    assert [*studio._last_asked] == keys[-1:]
    assert {*studio.worker._said} == {*keys[-3:]}  # until the next is queued
    assert not any(studio.cut_off(key) for key in keys)


def test_stopping_what_has_just_ended_leaves_nothing_under_way(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its end is written down shortly before the worker is done with it."""
    key = begin(studio)
    studio.generate(key)
    studio.worker.wait(key, LONG)
    monkeypatch.setattr(studio.worker, "active", lambda key: True)
    studio.stop(key)
    studio.stop_all(key)
    assert not studio.store.load(key).pending and not studio.cut_off(key)


def test_nothing_is_kept_of_a_session_that_is_deleted_meanwhile(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, go = begin(studio), threading.Event()
    monkeypatch.setattr(GenerationJob, "run", lambda job, ticket: go.wait(LONG) and None)
    studio.generate(key)
    shutil.rmtree(studio.store.path(key))
    studio.store.has(key)  # forgets it
    go.set()
    studio.worker.wait(key, LONG)
    assert not studio._under_way
