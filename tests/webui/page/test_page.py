"""The page itself, run by Streamlit's own test runner with a small real pipeline."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import pytest

pytest.importorskip("streamlit", reason="the editor's extra is not installed")

import streamlit
from page_helpers import (  # noqa: F401
    LONG,
    ROOT,
    generate,
    key_of,
    keys,
    model,
    open_page,
    output,
    page,
    said,
    session_of,
    wait_for_the_drawing,
)  # fmt: skip
from streamlit.testing.v1 import AppTest

from webui.page.canvas.board import say_note
from webui.page.context import Page
from webui.sessions import state
from webui.sessions.state import ReferenceItem, further_settings
from webui.sessions.store import SessionStore
from webui.strings import strings


def test_a_picture_from_words_then_an_edit_of_some_blocks(page: AppTest, output: Path) -> None:
    assert "Every picture you make is kept here." in said(page)
    page.text_area[0].set_value("men's blue shirt")
    generate(page)
    session = session_of(page, output)
    assert session.settings.prompt == "men's blue shirt"
    assert [picture.kind for picture in session.pictures] == ["drawn"]
    page.text_input(key="typed").set_value("0-3, 5").run()
    assert session_of(page, output).view.marks == (0, 1, 2, 3, 5)
    assert "Regenerates 5 of 16 blocks; the other 11 stay exactly as they are." in said(page)
    generate(page)
    session = session_of(page, output)
    assert session.view.marks == (0, 1, 2, 3, 5)
    assert session.current is not None
    assert session.current.kept == (4, *range(6, 16))
    page.session_state["shelf"] = "check"
    page.run()
    assert "All 11 kept blocks are identical, pixel by pixel." in said(page)


def test_nothing_to_draw_is_said_plainly(page: AppTest, output: Path) -> None:
    page.button(key="generate").click().run()
    assert "Write what it should show, or add a reference image." in said(page)
    assert not session_of(page, output).pictures


def test_typed_blocks_that_make_no_sense(page: AppTest, output: Path) -> None:
    page.text_area[0].set_value("bag")
    generate(page)
    for typed in ("lots", "99", "5-2"):
        page.text_input(key="typed").set_value(typed).run()
        assert "That did not work" in said(page)
        assert session_of(page, output).view.marks == ()


def test_a_reload_brings_everything_back(page: AppTest, output: Path) -> None:
    page.text_area[0].set_value("women's red bag")
    page.slider(key="setting_steps").set_value(5)
    generate(page)
    page.text_input(key="typed").set_value("7").run()
    again = AppTest.from_file(str(ROOT / "webui" / "app.py"), default_timeout=LONG)
    again.query_params["s"] = page.query_params["s"]
    again.run()
    assert not again.exception
    assert again.text_area[0].value == "women's red bag"
    assert again.slider(key="setting_steps").value == 5
    assert again.text_input(key="typed").value == "7"
    assert session_of(again, output) == session_of(page, output)


def test_a_visit_alone_leaves_a_session_as_it_began(page: AppTest, output: Path) -> None:
    page.segmented_control(key="setting_lang").set_value("zh").run()
    seen, begun = session_of(page, output), session_of(open_page(), output)
    same = replace(seen.settings, lang=begun.settings.lang, seed=begun.settings.seed)
    assert replace(seen, settings=same) == begun


def test_an_address_that_leads_nowhere_begins_anew(output: Path) -> None:
    page = AppTest.from_file(str(ROOT / "webui" / "app.py"), default_timeout=LONG)
    page.query_params["s"] = "../../etc/passwd"
    page.run()
    assert not page.exception
    assert "That session is not here any more" in said(page)


def test_the_page_speaks_chinese(page: AppTest, output: Path) -> None:
    page.segmented_control(key="setting_lang").set_value("zh").run()
    assert page.button(key="generate").label == strings("zh")["generate"]
    page.text_area[0].set_value("女士粉色上衣")
    generate(page)
    assert session_of(page, output).settings.lang == "zh"
    shown = " ".join(item.label for kind in ("button", "slider") for item in page.get(kind))
    assert not re.search(r"[A-Za-z]{4,}", shown)


def test_presets_seed_and_dice(page: AppTest, output: Path) -> None:
    page.segmented_control(key="preset_en").set_value("careful").run()
    settings = session_of(page, output).settings
    assert (settings.steps, settings.order, settings.candidates) == (20, "pnag", 4)
    assert page.slider(key="setting_steps").value == 20
    seed = settings.seed
    page.button(key="dice").click().run()
    settings = session_of(page, output).settings
    assert settings.seed != seed
    assert settings.seed_locked
    assert page.number_input(key="setting_seed").value == settings.seed


def test_going_back_through_steps_and_on_from_one(page: AppTest, output: Path) -> None:
    page.text_area[0].set_value("bag")
    page.slider(key="setting_steps").set_value(4)
    generate(page)
    page.session_state["shelf"] = "steps"
    page.run()
    page.slider(key="scrub_0001").set_value(2).run()
    page.button(key="fork").click().run()
    current = session_of(page, output).current
    assert current is not None
    assert (current.kind, current.parent) == ("step", "0001")


def test_repair_draws_and_says_what_came_of_it(page: AppTest, output: Path) -> None:
    page.text_area[0].set_value("bag")
    generate(page)
    page.number_input(key="weakest").set_value(3).run()
    page.button(key="repair").click().run()
    wait_for_the_drawing(page)
    assert re.search(r"3 blocks repaired|scores no higher", said(page))
    session = session_of(page, output)
    assert len(session.pictures[1].kept) == 13
    page.button(key="repair_mark").click().run()
    assert len(session_of(page, output).view.marks) == 3


def test_the_try_that_a_step_took_is_told(page: AppTest, output: Path) -> None:
    page.text_area[0].set_value("bag")
    page.slider(key="setting_steps").set_value(4)
    page.slider(key="setting_candidates").set_value(8)
    generate(page)
    page.session_state["shelf"] = "steps"
    page.run()
    assert "Of the tries of this step, number" in said(page)


def test_candidates_are_compared_and_joined(page: AppTest, output: Path) -> None:
    page.text_area[0].set_value("bag")
    page.slider(key="setting_pictures").set_value(3)
    page.slider(key="setting_steps").set_value(2)
    generate(page)
    assert len(state.group_of(session_of(page, output), session_of(page, output).current)) == 3
    page.segmented_control(key="sort_en").set_value("fidelity").run()
    page.text_input(key="typed").set_value("0,1").run()
    page.session_state["shelf"] = "compare"
    page.run()
    page.selectbox(key="other_en").set_value("0003").run()
    page.button(key="cross").click().run()
    session = session_of(page, output)
    assert session.current is not None
    assert session.current.kind == "cross"
    assert session.view.marks == (2, 4, 5, 6)


def weighed_reference(page: AppTest, output: Path) -> ReferenceItem:
    """The picture on the canvas as the one reference, at half its weight."""
    page.text_area[0].set_value("bag")
    generate(page)
    page.button(key="reference_current").click().run()
    (item,) = session_of(page, output).references
    page.slider(key=f"weight_{item.file}").set_value(0.5).run()
    return item


def test_references_are_switched_weighed_and_removed(page: AppTest, output: Path) -> None:
    item = weighed_reference(page, output)
    page.checkbox(key=f"on_{item.file}").uncheck().run()
    (item,) = session_of(page, output).references
    assert (item.weight, item.on) == (0.5, False)
    page.button(key=f"remove_{item.file}").click().run()
    assert session_of(page, output).references == ()


def test_the_rows_of_references_follow_the_session(page: AppTest, output: Path) -> None:
    item = weighed_reference(page, output)
    generate(page)
    page.slider(key=f"weight_{item.file}").set_value(2.0).run()
    page.checkbox(key=f"on_{item.file}").uncheck().run()
    page.button(key="again").click().run()
    assert page.slider(key=f"weight_{item.file}").value == 0.5
    assert page.checkbox(key=f"on_{item.file}").value


def test_each_window_is_told_how_a_drawing_ended(page: AppTest, output: Path) -> None:
    page.text_area[0].set_value("bag")
    generate(page)
    other = AppTest.from_file(str(ROOT / "webui" / "app.py"), default_timeout=LONG)
    other.query_params["s"] = page.query_params["s"]
    other.run()
    page.button(key="repair").click().run()
    wait_for_the_drawing(page)
    told = re.compile("blocks repaired|scores no higher")
    assert told.search(said(page))
    other.run()
    assert told.search(said(other))
    for window in (page, other):
        window.run()
        assert not told.search(said(window))


def test_files_that_are_missing_are_said_and_left_out(page: AppTest, output: Path) -> None:
    page.text_area[0].set_value("bag")
    page.slider(key="setting_pictures").set_value(2)
    generate(page)
    page.button(key="reference_current").click().run()
    session = session_of(page, output)
    folder = output / "sessions" / key_of(page)
    for file in (session.pictures[0].file, session.references[0].file):
        (folder / file).rename(folder / f"{file}.away")
    page.run()
    assert "Files of this session missing on the disk: 2." in said(page)
    after = session_of(page, output)
    assert [picture.id for picture in after.shown] == ["0002"]
    assert after.current is None
    assert after.references == ()
    page.run()
    assert "missing on the disk" not in said(page)  # said once
    (folder / f"{session.pictures[0].file}.away").rename(folder / session.pictures[0].file)
    page.run()
    assert len(session_of(page, output).shown) == 2


def test_a_deleted_output_folder_begins_a_new_session(page: AppTest, output: Path) -> None:
    page.text_area[0].set_value("bag")
    generate(page)
    before = key_of(page)
    shutil.rmtree(output)
    page.run()
    assert "That session is not here any more" in said(page)
    assert key_of(page) != before
    page.text_area[0].set_value("bag")
    generate(page)
    assert len(session_of(page, output).pictures) == 1


def test_what_is_seen_is_what_generate_goes_by(page: AppTest, output: Path) -> None:
    page.text_area[0].set_value("bag")
    page.slider(key="setting_steps").set_value(4)
    generate(page)
    page.text_input(key="typed").set_value("0,1").run()
    page.session_state["shelf"] = "steps"
    page.run()
    page.slider(key="scrub_0001").set_value(2).run()
    generate(page)
    _, step, edited = session_of(page, output).pictures
    assert (step.kind, step.parent) == ("step", "0001")
    assert edited.parent == step.id


def test_a_drawing_that_a_restart_cut_off_is_said_once(page: AppTest, output: Path) -> None:
    key = key_of(page)
    store = SessionStore(output)
    store.update(key, lambda session: replace(session, pending=True))
    app = ROOT / "webui" / "app.py"
    streamlit.cache_resource.clear()  # the server that comes after
    again = AppTest.from_file(str(app), default_timeout=LONG)
    again.query_params["s"] = key
    again.run()
    assert not again.exception
    assert "The server stopped before" in said(again)
    again.run()
    assert "The server stopped" not in said(again)


def test_two_windows_on_one_session_notice_each_other(page: AppTest, output: Path) -> None:
    page.text_area[0].set_value("bag")
    generate(page)
    other = AppTest.from_file(str(ROOT / "webui" / "app.py"), default_timeout=LONG)
    other.query_params["s"] = page.query_params["s"]
    other.run()
    other.text_area[0].set_value("red bag")
    other.text_input(key="typed").set_value("3").run()
    page.text_input(key="typed").set_value("5").run()  # not knowing of it
    assert "was not done" in said(page)
    session = session_of(page, output)
    assert session.view.marks == (3,)
    assert session.settings.prompt == page.text_area[0].value == "red bag"
    page.text_input(key="typed").set_value("5").run()
    assert session_of(page, output).view.marks == (5,)
    other.run()
    assert "changed in another window" in said(other)


def test_any_file_may_be_given_and_what_is_no_picture_is_refused_aloud(
    page: AppTest, output: Path
) -> None:
    for field in page.get("file_uploader"):
        assert not field.proto.type, field.label  # the browser's own refusal is not seen
    own = next(field for field in page.get("file_uploader") if field.key == "own_0")
    own.upload("notes.txt", b"no picture", "text/plain").run()
    assert "notes\\.txt cannot be used" in said(page)


def test_a_picture_that_brings_its_settings_says_that_its_seed_is_kept(
    page: AppTest, output: Path
) -> None:
    page.text_area[0].set_value("bag")
    generate(page)
    session = session_of(page, output)
    data = SessionStore(output).read(key_of(page), session.pictures[0].file)
    own = next(field for field in page.get("file_uploader") if field.key == "own_0")
    own.upload("ufc.png", data, "image/png").run()
    assert "Its seed is kept" in said(page)
    assert session_of(page, output).settings.seed_locked


def test_all_blocks_marked_is_said_so(page: AppTest, output: Path) -> None:
    page.text_area[0].set_value("bag")
    generate(page)
    store = SessionStore(output)
    session = state.mark(session_of(page, output), tuple(range(16)))
    page_of = Page(cast(Any, SimpleNamespace(store=store)), key_of(page))
    with patch.object(Page, "session", session), patch.object(Page, "grid", (4, 4)):
        assert say_note(page_of).startswith("All 16 blocks are marked")


def test_every_setting_has_its_own_help(page: AppTest) -> None:
    assert page.slider(key="setting_steps").proto.help == strings("en")["steps_help"]
    assert "Move back" not in strings("en")["steps_help"]


# Words


def test_both_languages_say_the_same_things() -> None:
    en, zh = strings("en"), strings("zh")
    assert list(en) == list(zh)
    for name in en:
        assert places(en[name]) == places(zh[name]), name


def test_every_string_is_used_and_every_used_one_is_there() -> None:
    files = sorted((ROOT / "webui").rglob("*.py"))
    text = "\n".join(path.read_text(encoding="utf-8") for path in files).replace("'", '"')
    whole = set(re.findall(r'"([a-z][a-z_0-9]+)"', text))
    whole |= {*further_settings()}  # they are derived
    begun = tuple(re.findall(r'f"([a-z_]+_)\{[\w.]+\}"', text))
    ended = set(re.findall(r'f"\{\w+\}(_[a-z]+)"', text))
    for name in strings("en"):
        stems = {name.removesuffix(end) for end in ended if name.endswith(end)}
        assert name in whole or name.startswith(begun) or stems & whole, f"{name} is not used"
    for name in re.findall(r'say\("([a-z_0-9]+)"', text):
        assert name in strings("en")


def places(text: str) -> list[Any]:
    return sorted(re.findall(r"\{\w+\}", text))
