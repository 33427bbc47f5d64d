"""Marks by number or from a file, and the blocks that the model doubts."""

from __future__ import annotations

import streamlit as st

from ufc.conditioning.frame import cells
from ufc.io.validation import RequestError
from webui.drawing import blocks
from webui.page.context import Page
from webui.sessions import derived, state, uploads, words
from webui.sessions.state import RefusedError


def more(page: Page) -> None:
    """Marks by number or from a file, and the blocks that the model doubts."""
    say, session, grid = page.say, page.session, page.grid
    with st.expander(say("marks_more"), key="panel_marks", icon=":material/grid_on:"):
        change = state.blocks_to_change(session.view, grid)
        typed = blocks.format_blocks(change) if len(change) < cells(grid) else ""
        st.session_state["typed"] = typed
        st.text_input(
            say("marks_typed"),
            key="typed",
            help=say("marks_typed_help"),
            placeholder="0-47,60",
            on_change=lambda: page.attempt(lambda: type_marks(page)),
        )
        if session.current is not None and words.can_find_words(page.studio):
            st.text_input(
                say("marks_words"),
                key="marks_words",
                help=say("marks_words_help"),
                on_change=lambda: page.attempt(lambda: mark_words(page)),
            )
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.number_input(
                say("repair_count"),
                1,
                cells(grid) - 1,
                key="weakest",
                width=150,
            )
            st.button(
                say("repair_mark"),
                key="repair_mark",
                on_click=lambda: page.attempt(
                    lambda: derived.find_weakest(page.studio, page.key, st.session_state["weakest"])
                ),
            )
        uploader = f"mask_{st.session_state.get('mask_taken', 0)}"
        st.file_uploader(  # of any type: what is no picture is refused with a reason
            say("marks_upload"), key=uploader, on_change=take_mask, args=(page, uploader)
        )
        st.download_button(
            say("marks_download"),
            lambda: uploads.mask(page.studio, page.key),
            "mask.png",
            "image/png",
            key="mask_download",
            on_click="ignore",
        )


def type_marks(page: Page) -> None:
    """Mark by typed numbers and ranges; nothing typed marks nothing."""
    text, grid = st.session_state["typed"].strip(), page.grid
    if not text:
        page.update(lambda session: state.mark(session, ()))
        return
    try:
        change = blocks.parse_blocks(text, cells(grid))
    except RequestError:
        raise RefusedError("marks_typed_wrong", last=cells(grid) - 1) from None
    page.update(lambda session: state.mark_to_change(session, change, grid))


def mark_words(page: Page) -> None:
    """Mark the blocks that typed words are about."""
    if asked := st.session_state["marks_words"].strip():
        words.mark_words(page.studio, page.key, asked)


def take_mask(page: Page, uploader: str) -> None:
    file = st.session_state.get(uploader)
    if file is not None:
        page.attempt(lambda: uploads.upload_mask(page.studio, page.key, file.getvalue()), file.name)
        st.session_state["mask_taken"] = st.session_state.get("mask_taken", 0) + 1
