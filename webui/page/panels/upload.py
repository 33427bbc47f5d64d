"""A visitor's own picture, to keep parts of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import streamlit as st

from ufc.io.validation import RequestError
from webui.page.context import Page
from webui.page.panels.references import tell_references
from webui.sessions import state, uploads


def own(page: Page) -> None:
    """Where a picture to edit comes in; one that was made here brings its settings."""
    say = page.say
    with st.expander(say("own"), key="panel_own", icon=":material/upload:"):
        height, width = page.studio.frames.default.size
        st.caption(say("own_help", width=width, height=height))
        uploader = f"own_{st.session_state.get('own_taken', 0)}"
        st.file_uploader(say("own_add"), key=uploader, on_change=take, args=(page, uploader))


def take(page: Page, uploader: str) -> None:
    """Put an upload on the canvas, and empty the field for the next."""
    file = st.session_state.get(uploader)
    if file is None:
        return
    page.attempt(lambda: place(page, file.getvalue()), file.name)
    st.session_state["own_taken"] = st.session_state.get("own_taken", 0) + 1


def place(page: Page, data: bytes) -> None:
    request = uploads.upload(page.studio, page.key, data)
    if request:
        with suppress(RequestError):  # what it says about itself makes no sense; its pixels do
            settings = state.from_request(page.session.settings, request)
            page.studio.store.update(page.key, lambda s: replace(s, settings=settings))
            before = page.session
            missing = uploads.find_references(page.studio, page.key, request)
            page.tell(page.say("settings_loaded"))
            if other := uploads.drawn_by_another(page.studio, data):
                page.tell(page.say("drawn_by_another", what=what_differs(other)))
            tell_references(page, before, missing)


def what_differs(then: Mapping[str, Any]) -> str:
    """Names and values as Markdown shows them: they come from a file that anybody may write."""
    said = (f"{name} {value}" for name, value in then.items())
    return ", ".join(re.sub(r"[^\w .+-]", "_", text)[:60] for text in said)
