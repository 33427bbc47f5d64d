"""The right side: history, steps, comparison and check."""

from __future__ import annotations

import streamlit as st

from webui.page.choices import in_language
from webui.page.context import Page
from webui.page.shelf.check import check
from webui.page.shelf.compare import compare
from webui.page.shelf.history import history
from webui.page.shelf.steps import steps

TABS = ("history", "steps", "compare", "check")


def shelf(page: Page) -> None:
    """Four tabs; only the open one is drawn."""
    lang = page.session.settings.lang
    words = {page.say(f"tab_{name}"): name for name in TABS}
    key = in_language("shelf", lang)
    st.session_state[key] = page.say(f"tab_{open_tab()}")
    drawn = {"history": history, "steps": steps, "compare": compare, "check": check}
    tabs = st.tabs(list(words), key=key, on_change=lambda: turn_to(words[st.session_state[key]]))
    for name, tab in zip(TABS, tabs, strict=True):
        with tab:
            if tab.open is not False:
                drawn[name](page)


def open_tab() -> str:
    """The tab that is open."""
    return str(st.session_state.get("shelf") or TABS[0])


def turn_to(tab: str) -> None:
    st.session_state["shelf"] = tab
