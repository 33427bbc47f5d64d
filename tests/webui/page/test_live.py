"""What is looked at again while a picture is generated, and when all of the page runs again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

pytest.importorskip("streamlit", reason="the editor's extra is not installed")

import streamlit

from webui.app import keep_known
from webui.page.canvas import easel
from webui.page.canvas import live as module
from webui.page.canvas.live import around, live
from webui.page.context import Page, fill_widgets, read_widgets
from webui.sessions import state
from webui.sessions.catalogue import LEFT_FOR
from webui.sessions.generating.worker import Progress
from webui.sessions.state import Session, Settings, View
from webui.sessions.store import SessionStore
from webui.sessions.tabs import Tabs

AT_WORK = Progress(3, "running", steps=4)


class Rerun(Exception):
    """All of the page runs again."""


def rerun() -> None:
    raise Rerun


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The state of a browser's window."""
    window: dict[str, Any] = {}
    monkeypatch.setattr(streamlit, "session_state", window)
    monkeypatch.setattr(streamlit, "rerun", rerun)
    return window


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the canvas is given."""
    given: list[dict[str, Any]] = []
    monkeypatch.setattr(module, "canvas", lambda page, **shown: given.append(shown))
    monkeypatch.setattr(module, "enlarge", lambda data: "data:")
    return given


@pytest.fixture
def page(tmp_path: Path, window: dict[str, Any]) -> Page:
    return a_page(SessionStore(tmp_path), AT_WORK)


def a_page(store: SessionStore, now: Progress) -> Page:
    """A page of a new session, whose drawing is as far as `now`."""
    worker = SimpleNamespace(progress=lambda key: now, queue=lambda key: [])
    frame = SimpleNamespace(grid=(4, 4))
    studio = SimpleNamespace(store=store, tabs=Tabs(), worker=worker, frame=lambda session: frame)
    key = store.create(Session(Settings(prompt="bag")))
    return Page(cast(Any, studio), key, AT_WORK)


def test_a_drawing_of_another_shape_is_shown_in_its_own_blocks(
    tmp_path: Path, window: dict[str, Any], shown: list[dict[str, Any]]
) -> None:
    for grid, editable in (((4, 4), True), ((3, 5), False)):
        frame = {"grid": grid, "previews": [b""], "confidence": [[0.5] * 15], "curves": []}
        page = a_page(SessionStore(tmp_path), replace(AT_WORK, step=1, frame=frame))
        live(page, around(page))
        board = shown.pop()
        assert board["editable"] == editable
        assert (board.get("rows", 4), board.get("columns", 4)) == grid
        assert ("Drag already" in board["note"]) == editable


def test_all_of_the_page_runs_again_once_it_shows_what_is_so_no_more(
    page: Page, window: dict[str, Any], shown: list[dict[str, Any]]
) -> None:
    drawn = around(page)
    live(page, drawn)  # nothing is new
    for began in (None, replace(AT_WORK, number=2), replace(AT_WORK, state="waiting")):
        with pytest.raises(Rerun):
            live(replace(page, began=began), drawn)
    page.tell("no room")
    with pytest.raises(Rerun):
        live(page, drawn)
    window.clear()
    page.studio.store.update(page.key, lambda s: replace(s, view=View(None, (1,))))
    with pytest.raises(Rerun):
        live(page, drawn)
    live(page, around(page))  # and then it is as it shows
    page.studio.store.update(page.key, lambda s: state.set_keep(s, True))
    with pytest.raises(Rerun):
        live(page, drawn)


def test_widgets_do_not_pass_for_what_they_do_not_show(page: Page, window: dict[str, Any]) -> None:
    fill_widgets(page.session.settings)
    page.studio.store.update(  # a picture is dropped, and brings its settings
        page.key, lambda s: replace(s, settings=replace(s.settings, prompt="coat", steps=5))
    )
    window["setting_temperature"] = 0.5
    read_widgets(page)  # before all of the page has run
    settings = page.session.settings
    assert (settings.prompt, settings.steps, settings.temperature) == ("coat", 5, 0.5)
    fill_widgets(settings)
    assert (window["setting_prompt"], window["setting_steps"]) == ("coat", 5)
    page.studio.store.update(
        page.key, lambda s: replace(s, settings=replace(s.settings, prompt="hat"))
    )
    window["setting_prompt"] = "red coat"  # typed meanwhile
    read_widgets(page)
    assert page.session.settings.prompt == "red coat"


def test_a_window_keeps_its_session_known_while_it_is_open(
    page: Page, window: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def fragment(show: Any, run_every: float) -> Any:
        asked.append(run_every)
        return show

    monkeypatch.setattr(streamlit, "fragment", fragment)
    assert not page.studio.tabs.seen_within(page.key, LEFT_FOR)
    keep_known(page)
    assert page.studio.tabs.seen_within(page.key, LEFT_FOR)
    assert 2 * asked[0] < LEFT_FOR  # one that fails does no harm


@pytest.mark.parametrize(
    ("began", "seconds"),
    [
        (AT_WORK, easel.LOOK_EVERY),
        (Progress(3), easel.LOOK_EVERY),
        (Progress(3, ahead=2), easel.LOOK_BEHIND),
    ],
)
def test_who_waits_behind_others_looks_less_often(
    page: Page, monkeypatch: pytest.MonkeyPatch, began: Progress, seconds: float
) -> None:
    every: list[float] = []

    def fragment(look: object, run_every: float) -> object:
        every.append(run_every)
        return lambda: None

    monkeypatch.setattr(streamlit, "fragment", fragment)
    easel.easel(replace(page, began=began))
    assert every == [seconds]
