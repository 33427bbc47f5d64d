"""Whatever fails on the page is said in its own language, never in the framework's own box."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("streamlit", reason="the editor's extra is not installed")

import streamlit
from page_helpers import (  # noqa: F401
    generate,
    key_of,
    model,
    open_page,
    output,
    page,
    said,
    session_of,
)  # fmt: skip
from streamlit.testing.v1 import AppTest

from ufc.io.validation import RequestError
from ufc_base.images import ImageError
from webui import app
from webui.page import context, start
from webui.page.canvas.telling import in_our_words
from webui.page.context import Page
from webui.page.markdown import plain
from webui.page.messages import DOWNLOAD_ERROR
from webui.sessions import catalogue
from webui.sessions.state import RefusedError
from webui.sessions.studio import Studio
from webui.strings import LANGUAGES, speak, strings


def failing(error: BaseException) -> Callable[..., Any]:
    def fail(*given: object, **named: object) -> Any:
        raise error

    return fail


@pytest.fixture
def chinese(page: AppTest) -> AppTest:
    page.segmented_control(key="setting_lang").set_value("zh").run()
    return page


@pytest.mark.parametrize("error", [RuntimeError("no kernel"), MemoryError(), KeyError("steps")])
def test_what_fails_in_a_callback_is_said(
    page: AppTest, output: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    page.text_area[0].set_value("bag")
    with monkeypatch.context() as patched:
        patched.setattr(Studio, "generate", failing(error))
        page.button(key="generate").click().run()
    assert not page.exception
    assert strings("en")["failed_unknown"] in said(page)
    generate(page)
    assert len(session_of(page, output).pictures) == 1


@pytest.mark.parametrize(
    ("error", "known"),
    [
        (ValueError("shapes (3,) and (4,) differ"), False),
        (RequestError("seed: wanted a number"), True),
        (ImageError("no picture"), True),
        (OSError("no space left"), True),
    ],
)
def test_only_what_was_written_for_a_visitor_is_told(
    page: AppTest,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    known: bool,
) -> None:
    shown = Page(app.studio_of_this_server(), key_of(page))
    told: list[str] = []
    monkeypatch.setattr(Page, "tell", lambda self, message: told.append(message))
    assert not shown.succeeds(failing(error))
    words = speak("en")("failed", error=plain(str(error))) if known else None
    assert told == [words or strings("en")["failed_unknown"]]
    logged = [one for one in caplog.records if one.name == context.__name__]
    assert bool(logged) is not known


def test_the_name_of_a_file_that_is_refused_is_escaped(
    page: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = Page(app.studio_of_this_server(), key_of(page))
    told: list[str] = []
    monkeypatch.setattr(Page, "tell", lambda self, message: told.append(message))
    shown.attempt(failing(ImageError("no picture")), "__my_[cat](x).png")
    assert told == [speak("en")("refused", name=plain("__my__cat__x_.png"), error="no picture")]


def test_widgets_that_could_not_be_filled_change_nothing(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = app.studio_of_this_server()
    key = studio.begin()
    studio.store.update(key, lambda s: replace(s, settings=replace(s.settings, prompt="bag")))
    before = studio.store.load(key)
    with monkeypatch.context() as patched:
        patched.setattr(context, "fill_widgets", failing(RuntimeError("broken")))
        page = open_page(s=key)
    assert strings("en")["part_failed"] in said(page)
    assert not page.text_area
    assert studio.store.load(key) == before
    page.run()
    assert page.text_area[0].value == "bag"


def test_stopping_fails_aloud(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Studio, "stop", failing(RuntimeError("no thread")))
    shown = Page(app.studio_of_this_server(), key_of(page))
    told: list[str] = []
    monkeypatch.setattr(Page, "tell", lambda self, message: told.append(message))
    shown.attempt_anyway(lambda: shown.studio.stop(shown.key))
    assert told == [strings("en")["failed_unknown"]]


def test_what_fails_outside_of_the_parts_is_said(
    page: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, name in ((context, "fill_widgets"), (Studio, "cut_off")):
        with monkeypatch.context() as patched:
            patched.setattr(place, name, failing(RuntimeError("broken")))
            page.run()
        assert not page.exception
        assert strings("en")["part_failed"] in said(page)
    page.run()
    assert strings("en")["part_failed"] not in said(page)


def test_what_fails_on_the_start_page_is_said(
    output: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(start, "tell", told.append)
    monkeypatch.setattr(catalogue, "rename", failing(RuntimeError("broken")))
    studio = app.studio_of_this_server()
    start.act(studio, speak("zh"), "rename", studio.begin(), "Bags")
    assert told == [strings("zh")["failed_unknown"]]


def test_a_session_that_is_gone_still_has_words(page: AppTest) -> None:
    studio = app.studio_of_this_server()
    assert Page(studio, "0" * 24).say("stop") == strings("en")["stop"]


@pytest.mark.parametrize("lang", list(LANGUAGES))
def test_a_download_that_fails_is_said_in_the_pages_language(page: AppTest, lang: str) -> None:
    page.segmented_control(key="setting_lang").set_value(lang).run()
    styles = [item.proto.body for item in page.get("html")]
    (words,) = [body for body in styles if body.startswith(f"<style>{DOWNLOAD_ERROR}::after")]
    assert strings(lang)["download_failed"] in words


def test_streamlit_still_marks_such_downloads() -> None:
    static = Path(streamlit.__file__).parent / "static" / "static" / "js"
    scripts = (path.read_text(encoding="utf-8") for path in static.glob("DownloadButton.*.js"))
    name = DOWNLOAD_ERROR.split('"')[1]
    assert any(name in script for script in scripts), "page.css and messages.py go by this name"


# Words


def long_prompt(page: AppTest, output: Path) -> None:
    page.text_area[0].set_value(" ".join(["*red*"] * 60))
    page.slider(key="setting_steps").set_value(1)
    generate(page)


def test_a_shortened_prompt_is_said_and_what_is_left_of_it_shown(
    page: AppTest, output: Path
) -> None:
    long_prompt(page, output)
    (notice,) = page.warning
    assert notice.value.startswith("The prompt has ")
    page.segmented_control(key="setting_lang").set_value("zh").run()
    (notice,) = page.warning
    assert notice.value.startswith("描述有 ")
    assert "tokens" not in notice.value


@pytest.mark.parametrize(
    ("lang", "words"), [("en", "Pose has 9 tokens, and only"), ("zh", "Pose 有 9 个词元")]
)
def test_notices_are_in_the_pages_words_and_escaped(lang: str, words: str) -> None:
    say = speak(lang)
    told = {"shortened": "pose", "tokens": 9, "most": 4, "kept": "# *red* [bag](x)"}
    notice = in_our_words(say, told)
    assert words in notice
    assert plain("# *red* [bag](x)") in notice
    negative = in_our_words(say, told | {"shortened": "negative prompt"})
    assert negative.startswith(strings(lang)["shortened_negative"][:4])
    assert in_our_words(say, "of an *earlier* version") == "of an \\*earlier\\* version"


def test_refusals_are_in_the_pages_language(chinese: AppTest, output: Path) -> None:
    page = chinese
    page.button(key="preset_save").click().run()
    assert strings("zh")["preset_no_name"] in said(page)
    page.text_area[0].set_value("bag")
    generate(page)
    page.button(key="extend").click().run()
    assert strings("zh")["extend_nothing"] in said(page)
    page.text_input(key="typed").set_value("lots").run()
    assert "图块编号为 0 到 15" in said(page)
    shown = Page(app.studio_of_this_server(), key_of(page))
    assert "已有 8 张参考图" in shown.why(RefusedError("references_full", most=8))


def test_what_is_said_of_errors_is_escaped(page: AppTest) -> None:
    shown = Page(app.studio_of_this_server(), key_of(page))
    assert shown.why(ValueError("image: *no* \n picture")) == "\\*no\\* picture"
    assert "\\*cat\\*" in shown.why(RefusedError("words_nowhere", words="*cat*"))


@pytest.mark.parametrize("lang", list(LANGUAGES))
def test_derived_settings_are_explained_in_the_pages_language(page: AppTest, lang: str) -> None:
    page.segmented_control(key="setting_lang").set_value(lang).run()
    field = page.number_input(key="setting_compliance_weight")
    assert field.proto.help == strings(lang)["compliance_weight_help"]
