"""The start page, and what was done found again in the history."""

from __future__ import annotations

import base64
import io
import os
import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("streamlit", reason="the editor's extra is not installed")

import streamlit
from page_helpers import (  # noqa: F401
    generate,
    key_of,
    keys,
    model,
    open_page,
    output,
    page,
    said,
    session_of,
)  # fmt: skip
from streamlit.testing.v1 import AppTest

from ufc.requests.loading import ModelSettings
from webui.page import start as start_module
from webui.page.canvas import candidates as candidates_module
from webui.page.start import A_PAGE, FEW, act, card
from webui.sessions import catalogue
from webui.sessions.state import Session
from webui.sessions.store import SessionStore
from webui.sessions.studio import Studio
from webui.strings import speak, strings


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UFC_LIST_SESSIONS", "1")
    streamlit.cache_resource.clear()


def draw(page: AppTest, *prompts: str) -> None:
    for prompt in prompts:
        page.text_area[0].set_value(prompt)
        generate(page)


def on_canvas(page: AppTest) -> bool:
    return "generate" in keys(page, "button")


def test_the_first_visitor_begins_and_later_ones_see_the_sessions(
    listed: None,
    output: Path,
) -> None:
    first = open_page()
    assert on_canvas(first)
    draw(first, "bag")
    second = open_page()
    assert not on_canvas(second)
    assert "s" not in second.query_params
    assert on_canvas(open_page(s=key_of(first)))
    new = open_page(s="new", lang="zh")
    assert on_canvas(new)
    assert key_of(new) not in ("new", key_of(first))
    assert session_of(new, output).settings.lang == "zh"
    assert "not here any more" not in said(new)


def test_where_others_come_too_nobody_sees_the_sessions(page: AppTest) -> None:
    draw(page, "bag")
    other = open_page()
    assert on_canvas(other)
    assert key_of(other) != key_of(page)


def test_a_deleted_session_is_put_back_from_the_start_page(
    listed: None,
    output: Path,
) -> None:
    first = open_page()
    draw(first, "bag")
    catalogue.delete(SessionStore(output), key_of(first))
    catalogue.rename(store := SessionStore(output), store.create(Session()), "Coats")
    start = open_page()
    start.session_state["deleted"] = key_of(first)
    start.run()
    assert "“bag” was deleted." in said(start)
    start.button(key="undo_delete").click().run()
    assert SessionStore(output).has(key_of(first))
    assert "was deleted" not in said(start)


def test_a_session_has_a_name(page: AppTest, output: Path) -> None:
    page.text_input(key="session_name").set_value("Spring bags").run()
    assert session_of(page, output).name == "Spring bags"
    assert page.text_input(key="session_name").value == "Spring bags"


def test_old_pictures_are_found_gone_on_from_and_deleted(
    page: AppTest,
    output: Path,
) -> None:
    page.slider(key="setting_steps").set_value(2)
    draw(page, "red bag")
    page.slider(key="setting_steps").set_value(3)
    draw(page, "blue coat")
    assert page.selectbox(key="earlier").options == ["red bag"]
    page.selectbox(key="earlier").set_value("red bag").run()
    assert session_of(page, output).settings.prompt == "red bag"
    page.text_area[0].set_value("hat").run()
    store = SessionStore(output)
    assert len(store.load(key_of(page)).pictures) == 2
    page.button(key="again").click().run()
    settings = session_of(page, output).settings
    assert (settings.prompt, settings.steps, settings.seed_locked) == ("blue coat", 3, True)
    page.button(key="delete").click().run()
    current = session_of(page, output).current
    assert current is not None
    assert current.prompt == "red bag"
    page.button(key="restore").click().run()
    assert len(session_of(page, output).shown) == 2


def test_many_pictures_are_leafed_through_and_searched(page: AppTest, output: Path) -> None:
    page.slider(key="setting_steps").set_value(1)
    page.slider(key="setting_pictures").set_value(8)
    draw(page, "red bag", "blue coat")
    assert page.get("pagination")[0].value == 1
    page.text_input(key="find").set_value("coat").run()
    assert not page.get("pagination")
    page.text_input(key="find").set_value("zebra").run()
    assert "No picture has these words" in said(page)


def test_settings_are_kept_under_a_name(page: AppTest, output: Path) -> None:
    page.slider(key="setting_steps").set_value(7)
    page.text_input(key="preset_name").set_value("seven")
    page.button(key="preset_save").click().run()
    page.slider(key="setting_steps").set_value(9).run()
    page.selectbox(key="own_preset_en").set_value(None).run()
    page.selectbox(key="own_preset_en").set_value("seven").run()
    assert session_of(page, output).settings.steps == 7
    page.button(key="preset_remove").click().run()
    assert "preset_remove" not in keys(page, "button")


def test_cards_open_rename_and_copy(listed: None, output: Path, model: Path) -> None:
    studio = Studio(output, ModelSettings(str(model)), for_one=True)
    key = studio.begin()
    catalogue.rename(studio.store, key, "bag")
    (one,) = catalogue.summaries(studio.store)
    say = speak("en")
    assert card(studio, one, say, ("rename", "duplicate"))["href"] == f"?s={key}"
    act(studio, say, "rename", key, "Bags")
    act(studio, say, "duplicate", key)
    assert [found.name for found in catalogue.summaries(studio.store)] == ["Bags (copy)", "Bags"]
    of_another = replace(one, codebook="other")
    shown = card(studio, of_another, say, ("rename", "duplicate"))
    assert (shown["href"], shown["acts"]) == ("", ["rename"])


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the page's components were last given, by their keys: data and callbacks."""
    given: dict[str, Any] = {}

    def mount(key: str, data: dict[str, Any], **callbacks: object) -> None:
        given[key] = data | callbacks

    for module in (start_module, candidates_module):
        monkeypatch.setattr(module, "component", lambda name: mount)
    return given


def test_the_start_page_shows_pictures_dates_and_the_way_to_a_new_session(
    listed: None, output: Path, given: dict[str, Any]
) -> None:
    first = open_page()
    draw(first, "bag")
    store, key = SessionStore(output), key_of(first)
    catalogue.rename(store, unseen := store.create(Session()), "Coats")
    for one, at in ((key, datetime.now()), (unseen, datetime(2026, 3, 4, 5, 6))):
        os.utime(store.path(one, "session.json"), (at.timestamp(), at.timestamp()))
    open_page(lang="zh")
    assert given["cards"]["items"][0]["name"] == strings("zh")["session_new"]
    open_page()
    new, latest, older = given["cards"]["items"]
    assert (new["name"], new["href"]) == ("New session", "?s=new&lang=en")
    assert (latest["name"], latest["href"]) == ("bag", f"?s={key}")
    kind, data = latest["src"].split(";base64,")
    assert kind == "data:image/png"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (16, 16)
    assert re.fullmatch(r"today \d\d:\d\d · pictures: 1", latest["about"])
    assert (older["name"], older["src"]) == ("Coats", "")
    assert older["about"].startswith("2026-03-04 · pictures: 0")


def test_sessions_are_searched_by_words(listed: None, output: Path, given: dict[str, Any]) -> None:
    store = SessionStore(output)
    for number in range(FEW):
        store.create(Session(name=f"Bag {number}"))
    start = open_page()
    assert "find_sessions" not in keys(start, "text_input")  # a few are found without
    store.create(Session(name="Winter coats"))
    start.run()
    assert len(given["cards"]["items"]) == 1 + FEW + 1
    start.text_input(key="find_sessions").set_value("COATS winter").run()
    assert [one["name"] for one in given["cards"]["items"]] == ["New session", "Winter coats"]
    start.text_input(key="find_sessions").set_value("zebra").run()
    assert [one["name"] for one in given["cards"]["items"]] == ["New session"]


def test_an_old_picture_offers_its_words_and_settings(
    page: AppTest, output: Path, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    page.slider(key="setting_steps").set_value(2)
    draw(page, "red bag")
    seed = session_of(page, output).settings.seed
    page.slider(key="setting_steps").set_value(3)
    draw(page, "blue coat")
    titles = {one["id"]: one["title"] for one in given["gallery"]["items"]}
    assert titles == {"0002": "blue coat", "0001": "red bag"}
    with monkeypatch.context() as patched:
        window = {"tab": page.session_state["tab"], "gallery": {"pick": "0001"}}
        patched.setattr(streamlit, "session_state", window)
        given["gallery"]["on_pick_change"]()
    page.run()
    assert "1: red bag" in said(page)
    page.button(key="again").click().run()
    settings = session_of(page, output).settings
    assert (settings.prompt, settings.steps, settings.seed) == ("red bag", 2, seed)
    assert settings.seed_locked
    assert page.text_area[0].value == "red bag"


def test_for_good_goes_what_is_seen(listed: None, output: Path) -> None:
    store = SessionStore(output)
    keys = [store.create(Session(name=f"Bag {number}")) for number in range(A_PAGE + 3)]
    for key in keys[1:]:
        catalogue.delete(store, key)
    start = open_page()
    assert start.get("pagination")[0].value == 1
    catalogue.rename(store, late := store.create(Session()), "Late")
    catalogue.delete(store, late)  # in another window
    start.button(key="empty_away").click().run()
    assert {late} < {one.key for one in catalogue.put_away(store)}
    assert len(catalogue.put_away(store)) == 1 + 2
    assert not start.get("pagination")
