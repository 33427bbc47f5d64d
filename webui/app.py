"""The page. Streamlit runs this file for every visitor and after everything they do."""

from __future__ import annotations

import gc
import json
import logging
import os
import sys
from dataclasses import replace
from pathlib import Path

import streamlit as st
from PIL import Image

from ufc.io.validation import RequestError
from ufc.requests.loading import ModelSettings
from webui.page.canvas.easel import easel
from webui.page.context import Page, fill_widgets_of, guarded, one_line, read_widgets
from webui.page.markdown import plain
from webui.page.messages import show_messages, word_download_errors
from webui.page.panels.prompt import words
from webui.page.panels.references import references
from webui.page.panels.settings import recipe
from webui.page.panels.upload import own
from webui.page.shelf.tabs import shelf
from webui.page.start import language, start
from webui.sessions.catalogue import MOST_LETTERS_OF_A_NAME, rename, summaries
from webui.sessions.studio import Studio
from webui.strings import LANGUAGES, speak

LOG = logging.getLogger(__name__)
NEW = "new"  # in the place of a session in the address
SEEN_EVERY = 3600.0  # seconds; well below what sessions that nobody looks at are left for
SWITCH_EVERY = 0.0005  # seconds; Python's own is 0.005
DESK = ("words", "easel", "panels", "shelf")
STYLE = Path(__file__).with_name("page") / "page.css"


def main() -> None:
    """One run of the page."""
    st.set_page_config("UFC-BERT", page_icon=icon(), layout="wide")
    st.html(STYLE)
    say = speak(os.environ.get("UFC_LANG", "en"))
    try:
        studio = studio_of_this_server()
        listed = "s" not in st.query_params and studio.for_one
        if listed and (found := summaries(studio.store)):
            start(studio, found)
            return
        page = finish(open_page(studio))
    except (OSError, RequestError, KeyError) as error:
        LOG.exception("no session could be opened")
        st.error(say("no_session", error=plain(one_line(error))))
        return
    except Exception:
        LOG.exception("no page could be shown")
        st.error(say("part_failed"))
        return
    if not guarded(fill_widgets_of, page):
        return  # widgets that hold their own defaults would change the session
    guarded(header, page)
    # In the order of a narrow screen; page.css lays them side by side on a wide one.
    with st.container(key="desk"):
        first, middle, left, right = (st.container(key=f"desk_{name}") for name in DESK)
    with first:
        guarded(words, page)
    with left:
        for part in (references, own, recipe):
            guarded(part, page)
    guarded(read_widgets, page)
    with middle:
        guarded(easel, page)
    with right:
        guarded(shelf, page)
    keep_known(page)


def keep_known(page: Page) -> None:
    """Say that a window shows the session for as long as it does, also while nobody touches it."""
    st.fragment(lambda: page.studio.tabs.seen(page.key), run_every=SEEN_EVERY)()


def studio_of_this_server() -> Studio:
    """The studio, by what `ufc app` was told; it is loaded for the first who asks."""
    with st.spinner(speak(os.environ.get("UFC_LANG", "en"))("loading"), show_time=False):
        return open_studio(
            os.environ.get("UFC_OUTPUT_DIR") or "outputs/editor",
            os.environ.get("UFC_MODEL"),
            os.environ.get("UFC_DEVICE") or "auto",
            os.environ.get("UFC_DTYPE") or "auto",
            os.environ.get("UFC_ATTENTION_BACKEND") or "auto",
            os.environ.get("UFC_LIST_SESSIONS") == "1",
            tuple(json.loads(os.environ.get("UFC_LORA") or "[]")),
        )


def open_page(studio: Studio) -> Page:
    """The visitor's session: the one in the address, or a new one that is put there."""
    key = st.query_params.get("s", "")
    if studio.has(key):
        page = Page(studio, key)
        page.notice_others()
        if count := studio.leave_out_missing(key):
            page.tell(page.say("files_missing", count=count))
        return page
    new = Page(studio, studio.begin(language()))
    new.notice_others()
    if key not in ("", NEW):
        new.tell(new.say("session_lost"))
    st.query_params.from_dict({"s": new.key})
    return new


@st.cache_resource(show_spinner=False)
def open_studio(
    folder: str,
    model: str | None,
    device: str,
    dtype: str,
    backend: str,
    for_one: bool,
    lora: tuple[str, ...],
) -> Studio:
    """The one studio of this server, with its model loaded."""
    settings = ModelSettings(
        model, device=device, dtype=dtype, attention_backend=backend, lora=lora
    )
    studio = Studio(Path(folder), settings, for_one)
    _ = studio.loaded
    leave_room_for_drawing()
    return studio


def leave_room_for_drawing() -> None:
    """Keep the threads that serve pages from holding up the one that generates.

    Torch alone is a million objects for a collection of garbage to look through: what is there once
    the model is loaded stays, and is looked through no more. And torch lets go of the interpreter
    at every operation: it is to get it back soon.
    """
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(SWITCH_EVERY)


def finish(page: Page) -> Page:
    """The page with a drawing on, or without: how those went that have ended is said.

    Asked once a run, so that all of a run is of one mind.
    """
    if page.studio.cut_off(page.key):
        page.tell(page.say("cut_off"))
    under_way = page.progress()  # before the next: what ends in between is said now
    worker = page.studio.worker
    # A window says what ended since it last did; a new one what no other has said.
    said = st.session_state.setdefault("endings_said", worker.said(page.key))
    for progress in worker.finished(page.key, said):
        st.session_state["endings_said"] = progress.ended
        if progress.error:
            page.tell(page.say("failed", error=plain(progress.error)))
        elif progress.outcome:
            name, facts = progress.outcome
            page.tell(page.say(name, **facts))
    return replace(page, began=under_way)


def header(page: Page) -> None:
    """Name, language and messages."""
    say = page.say
    word_download_errors(say)
    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key="head"
    ):
        st.markdown(f"# {say('title')}  \n:gray[{say('subtitle')}]")
        with st.container(
            horizontal=True, vertical_alignment="center", width="content", key="head_session"
        ):
            name_of_session(page)
            st.segmented_control(
                say("language"),
                list(LANGUAGES),
                key=page.widget("lang"),
                required=True,
                format_func=lambda lang: LANGUAGES[lang],
                label_visibility="collapsed",
                on_change=lambda: page.attempt(lambda: read_widgets(page)),
            )
    show_messages()


def name_of_session(page: Page) -> None:
    """The way back to all sessions, and what this one is called."""
    say, lang = page.say, page.session.settings.lang
    address, words = (
        (f"?lang={lang}", "sessions") if page.studio.for_one else (f"?s={NEW}", "session_new")
    )
    link = f'<a href="{address}" target="_self">{say(words)}</a>'
    st.markdown(link, unsafe_allow_html=True, width="content")
    st.session_state["session_name"] = page.session.name
    st.text_input(
        say("session_name"),
        key="session_name",
        placeholder=say("session_unnamed"),
        max_chars=MOST_LETTERS_OF_A_NAME,
        label_visibility="collapsed",
        width=190,
        on_change=lambda: page.attempt(
            lambda: rename(page.studio.store, page.key, st.session_state["session_name"])
        ),
    )


def icon() -> Image.Image:
    """Four blocks, one of them marked: drawn here, since Streamlit fetches its own from afar."""
    blocks = Image.new("RGB", (2, 2), "#ddd8cf")
    blocks.putpixel((1, 0), (180, 83, 42))
    return blocks.resize((32, 32), Image.Resampling.NEAREST)


if __name__ == "__main__":
    main()
