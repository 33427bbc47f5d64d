"""Variations, larger pictures, and how long something takes yet."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ufc.requests.loading import ModelSettings
from webui.drawing.blocks import invert
from webui.sessions import state
from webui.sessions.generating.worker import Ticket, Worker
from webui.sessions.state import RefusedError, Session
from webui.sessions.studio import VARIATIONS, Studio


@pytest.fixture(scope="module")
def studio(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Studio:
    return Studio(tmp_path_factory.mktemp("out"), ModelSettings(str(model)))


def finish(studio: Studio, key: str) -> Session:
    progress = studio.worker.wait(key, 60)
    assert progress is not None
    assert progress.error is None
    return studio.store.load(key)


@pytest.fixture
def key(studio: Studio) -> str:
    key = studio.begin()
    settle = {"prompt": "bag", "steps": 2, "seed": 3}
    studio.store.update(key, lambda s: replace(s, settings=replace(s.settings, **settle)))
    studio.generate(key)
    finish(studio, key)
    return key


def test_variations_change_a_share_of_the_blocks(studio: Studio, key: str) -> None:
    studio.vary(key, 0.25)
    session = finish(studio, key)
    made = session.pictures[1:]
    assert len(made) == VARIATIONS
    assert {len(picture.kept) for picture in made} == {12}
    assert {picture.parent for picture in made} == {"0001"}
    assert session.view.marks == ()


def test_variations_stay_within_what_is_marked(studio: Studio, key: str) -> None:
    studio.store.update(key, lambda s: state.mark(s, (0, 1, 2, 3)))
    studio.vary(key, 0.5)
    session = finish(studio, key)
    changed = invert(session.pictures[1].kept, (4, 4))
    assert len(changed) == 2
    assert set(changed) <= {0, 1, 2, 3}


def test_another_variation_changes_other_blocks(studio: Studio, key: str) -> None:
    studio.vary(key, 0.4)
    finish(studio, key)
    studio.store.update(key, lambda s: state.show(s, "0001"))
    studio.vary(key, 0.4)
    pictures = finish(studio, key).pictures
    assert pictures[1].kept != pictures[5].kept


def test_a_picture_is_extended_and_what_was_there_stays(studio: Studio, key: str) -> None:
    studio.extend(key, (0, 2, 0, 0))
    session = finish(studio, key)
    before, after = session.pictures
    assert after.size == (24, 16)
    assert after.full is not None
    old = np.asarray(studio.store.open_picture(key, before.file))
    new = np.asarray(studio.store.open_picture(key, after.full))
    assert (new[:, :16] == old).all()
    assert after.kept
    assert len(after.kept) < 16
    details = studio.store.read_details(key, after.id)
    assert details["audit"]["changed"] == []
    assert any("step" in story for story in details["origin"])


def test_nothing_to_vary_or_to_add_is_said(studio: Studio, key: str) -> None:
    empty = studio.begin()
    with pytest.raises(RefusedError, match="no picture"):
        studio.vary(empty, 0.5)
    with pytest.raises(RefusedError, match="no picture"):
        studio.extend(empty, (1, 0, 0, 0))
    with pytest.raises(RefusedError, match="rows or columns"):
        studio.extend(key, (0, 0, 0, 0))


def test_a_task_says_how_long_it_takes_with_those_before_it() -> None:
    worker, at_work, go = Worker(), threading.Event(), threading.Event()

    def run(ticket: Ticket) -> None:
        ticket.started -= 10.0  # ten seconds for the first two of its steps
        ticket.report(2)
        at_work.set()
        go.wait(10)

    worker.submit("a", 4, run)
    assert at_work.wait(10)
    worker.submit("b", 3, lambda ticket: None)
    first, second = worker.progress("a"), worker.progress("b")
    go.set()
    worker.wait("b", 10)
    assert first is not None and second is not None
    assert first.left == pytest.approx(10.0, abs=1.0)
    assert second.left == pytest.approx(25.0, abs=2.0)
