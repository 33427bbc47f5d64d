"""The page. Streamlit runs this file for every visitor and after everything they do."""

from __future__ import annotations

import gc
import logging
import os
import sys
from dataclasses import replace
from pathlib import Path

import streamlit as st
from PIL import Image

from ufc.io.validation import RequestError
from ufc.requests.loading import ModelSettings
from webui.page.canvas_panel import easel
from webui.page.context import Page, fill_widgets, guarded, read_widgets
from webui.page.prompt import words
from webui.page.references import references
from webui.page.settings import recipe
from webui.page.side_panel import shelf
from webui.page.upload import own
from webui.sessions.studio import Studio
from webui.strings import LANGUAGES, speak

LOG = logging.getLogger(__name__)
SWITCH_EVERY = 0.0005  # seconds; Python's own is 0.005
DESK = ("words", "easel", "panels", "shelf")
LETTERS_A_SECOND = 18  # as one reads
SHORTEST, LONGEST = 3.0, 7.0  # seconds that a message stays
STYLE = Path(__file__).with_name("page") / "page.css"


def main() -> None:
    """One run of the page."""
    st.set_page_config("UFC-BERT", page_icon=icon(), layout="wide")
    st.html(STYLE)
    try:
        page = finish(open_page())
    except (OSError, RequestError, KeyError) as error:
        LOG.exception("no session could be opened")
        say = speak(os.environ.get("UFC_LANG", "en"))
        st.error(say("no_session", error=" ".join(str(error).split())))
        return
    fill_widgets(page.session.settings)
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


def open_page() -> Page:
    """The visitor's session: the one in the address, or a new one that is put there."""
    lang = os.environ.get("UFC_LANG", "en")
    with st.spinner(speak(lang)("loading"), show_time=False):
        studio = open_studio(
            os.environ.get("UFC_OUTPUT_DIR") or "outputs/editor",
            os.environ.get("UFC_MODEL"),
            os.environ.get("UFC_DEVICE") or "auto",
            os.environ.get("UFC_DTYPE") or "auto",
            os.environ.get("UFC_ATTENTION_BACKEND") or "auto",
        )
    key = st.query_params.get("s", "")
    if studio.has(key):
        page = Page(studio, key)
        page.notice_others()
        if count := studio.leave_out_missing(key):
            page.tell(page.say("files_missing", count=count))
        return page
    new = Page(studio, studio.begin(lang))
    new.notice_others()
    if key:
        new.tell(new.say("session_lost"))
    st.query_params["s"] = new.key
    return new


@st.cache_resource(show_spinner=False)
def open_studio(folder: str, model: str | None, device: str, dtype: str, backend: str) -> Studio:
    """The one studio of this server, with its model loaded."""
    settings = ModelSettings(model, device=device, dtype=dtype, attention_backend=backend)
    studio = Studio(Path(folder), settings)
    _ = studio.loaded
    leave_room_for_drawing()
    return studio


def leave_room_for_drawing() -> None:
    """Keep the threads that serve pages from holding up the one that generates.

    Streamlit collects garbage after every run of a page, and torch alone is a million objects to
    look through: what is there once the model is loaded stays, and is looked through no more. And
    torch lets go of the interpreter at every operation: it is to get it back soon.
    """
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(SWITCH_EVERY)


def finish(page: Page) -> Page:
    """The page with a drawing on, or without: what went wrong with one that has ended is said.

    Asked once a run, so that all of a run is of one mind.
    """
    if page.studio.cut_off(page.key):
        page.tell(page.say("cut_off"))
    progress = page.studio.worker.progress(page.key)
    if progress is None or progress.active:
        return replace(page, running=progress is not None)
    page.studio.worker.forget(page.key)
    if progress.error:
        page.tell(page.say("failed", error=progress.error))
    elif progress.outcome:
        name, facts = progress.outcome
        page.tell(page.say(name, **facts))
    return page


def header(page: Page) -> None:
    """Name, language and messages."""
    say = page.say
    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key="head"
    ):
        st.markdown(f"# {say('title')}  \n:gray[{say('subtitle')}]")
        st.segmented_control(
            say("language"),
            list(LANGUAGES),
            key=page.widget("lang"),
            required=True,
            format_func=lambda lang: LANGUAGES[lang],
            label_visibility="collapsed",
            on_change=lambda: page.attempt(lambda: read_widgets(page)),
        )
    for message in st.session_state.pop("messages", []):  # seen wherever the page is scrolled to
        stays = min(LONGEST, max(SHORTEST, 2 + len(message) / LETTERS_A_SECOND))
        st.toast(message, icon=":material/info:", duration=round(stays))


def icon() -> Image.Image:
    """Four blocks, one of them marked: drawn here, since Streamlit fetches its own from afar."""
    blocks = Image.new("RGB", (2, 2), "#ddd8cf")
    blocks.putpixel((1, 0), (180, 83, 42))
    return blocks.resize((32, 32), Image.Resampling.NEAREST)


if __name__ == "__main__":
    main()
