"""Every picture of the session: to be found, looked at again, gone on from, taken away."""

from __future__ import annotations

import streamlit as st

from webui.page.canvas.candidates import gallery
from webui.page.context import Page
from webui.page.markdown import plain
from webui.page.panels.references import tell_references
from webui.sessions import again, exports, state
from webui.sessions.state import Picture

A_PAGE = 12  # pictures
FEW = 6  # pictures that are found without a search

Pictures = tuple[Picture, ...]


def history(page: Page) -> None:
    """The pictures, the latest first."""
    pictures = page.session.shown[::-1]
    if not pictures:
        st.caption(page.say("history_empty"))
    else:
        found = find(page, pictures)
        with st.container(key="history"):
            gallery(page, "gallery", leaf(page, found))
        current = page.session.current
        if current is not None:
            of_the_seen(page, current)
        to_take_home(page, found[::-1])
    deleted(page)


def find(page: Page, pictures: Pictures) -> Pictures:
    """Those that the visitor looks for: all of them, where nothing is found."""
    say = page.say
    stars = any(picture.favourite for picture in pictures)
    if len(pictures) <= FEW and not stars:
        return pictures
    with st.container(horizontal=True, vertical_alignment="center"):
        words = st.text_input(
            say("history_find"),
            key="find",
            placeholder=say("history_find"),
            icon=":material/search:",
            label_visibility="collapsed",
        )
        if stars and st.toggle(say("history_stars"), key="stars"):
            pictures = tuple(picture for picture in pictures if picture.favourite)
    found = state.with_words(pictures, words) if words.strip() else pictures
    if not found:
        st.caption(say("history_not_found"))
    return found or pictures


def leaf(page: Page, pictures: Pictures) -> Pictures:
    """The pictures of the page that is open; the first one, once there is a new picture."""
    pages = -(-len(pictures) // A_PAGE)
    if pages < 2:
        return pictures
    newest = page.session.shown[-1].id
    if st.session_state.get("history_newest") != newest:
        st.session_state["history_newest"] = newest
        st.session_state["history_page"] = 1
    st.session_state["history_page"] = min(pages, st.session_state.get("history_page", 1))
    at = st.pagination(pages, key="history_page", max_visible_pages=5)
    return pictures[(at - 1) * A_PAGE : at * A_PAGE]


def of_the_seen(page: Page, picture: Picture) -> None:
    """The words of the picture on the canvas, the way back to them, and the way to be rid of it."""
    say = page.say
    if picture.prompt:
        st.caption(say("history_words", picture=int(picture.id), words=plain(picture.prompt)))
    with st.container(horizontal=True):
        if picture.request:
            st.button(
                say("history_again"),
                key="again",
                icon=":material/replay:",
                help=say("history_again_help"),
                on_click=lambda: page.attempt(lambda: take_over(page, picture)),
            )
        st.button(
            say("history_delete", picture=int(picture.id)),
            key="delete",
            icon=":material/delete:",
            disabled=page.running,
            on_click=lambda: page.update(lambda s: state.delete(s, (picture.id,))),
        )


def take_over(page: Page, picture: Picture) -> None:
    """Words and settings as the picture had them."""
    before = page.session
    missing = again.take_over(page.studio, page.key, picture.id)
    page.tell(page.say("settings_loaded"))
    tell_references(page, before, missing)


def deleted(page: Page) -> None:
    """The way to have deleted pictures back."""
    gone = state.deleted(page.session)
    if gone:
        st.button(
            page.say("history_restore", count=len(gone)),
            key="restore",
            icon=":material/undo:",
            disabled=page.running,
            on_click=lambda: page.update(state.restore),
        )


def to_take_home(page: Page, chosen: Pictures) -> None:
    """The pictures that were found, as files."""
    say, fit = page.say, that_fit(page, chosen)
    if fit < len(chosen):
        most = exports.MOST_BYTES >> 20
        st.caption(say("history_zip_part", most=most, count=fit, all=len(chosen)))
    with st.container(horizontal=True):
        st.download_button(
            say("history_zip"),
            lambda: exports.archive(page.studio, page.key, chosen),
            "ufc-pictures.zip",
            "application/zip",
            key="zip",
            icon=":material/folder_zip:",
            help=say("history_zip_help"),
            disabled=not fit,
            on_click="ignore",
        )
        st.download_button(
            say("history_sheet"),
            lambda: exports.sheet(page.studio, page.key, chosen),
            "ufc-sheet.png",
            "image/png",
            key="sheet",
            icon=":material/grid_view:",
            on_click="ignore",
        )


def that_fit(page: Page, chosen: Pictures) -> int:
    """How many of the pictures a zip has room for: counted anew for other pictures only."""
    asked = page.key, tuple(picture.id for picture in chosen)
    known, fit = st.session_state.get("that_fit", (None, 0))
    if known != asked:
        fit = len(exports.that_fit(page.studio, page.key, chosen))
        st.session_state["that_fit"] = asked, fit
    return int(fit)
