"""Variations of the picture on the canvas, and the same picture made larger."""

from __future__ import annotations

import streamlit as st

from webui.page.context import Page, adopt_step

SIDES = ("top", "right", "bottom", "left")
MOST = 8  # blocks added on a side at once


def reach(page: Page) -> None:
    """What goes on from the whole picture."""
    say = page.say
    with st.expander(say("reach"), key="panel_reach", icon=":material/auto_awesome_mosaic:"):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.session_state.setdefault("vary_share", 40)
            st.slider(
                say("vary_share"), 5, 95, step=5, format="%d %%", key="vary_share",
                help=say("vary_help"), width="stretch",
            )  # fmt: skip
            st.button(
                say("vary"),
                key="vary",
                icon=":material/shuffle:",
                disabled=page.running,
                on_click=lambda: page.attempt(lambda: vary(page)),
            )
        st.caption(say("extend_help"))
        with st.container(horizontal=True, vertical_alignment="bottom"):
            for side in SIDES:
                st.number_input(say(f"extend_{side}"), 0, MOST, key=f"extend_{side}", width=105)
            st.button(
                say("extend"),
                key="extend",
                icon=":material/open_in_full:",
                disabled=page.running,
                on_click=lambda: page.attempt(lambda: extend(page)),
            )


def vary(page: Page) -> None:
    """Variations of the picture that is seen."""
    adopt_step(page)
    page.studio.vary(page.key, st.session_state["vary_share"] / 100)


def extend(page: Page) -> None:
    """The picture that is seen, with blocks around it."""
    adopt_step(page)
    top, right, bottom, left = (st.session_state[f"extend_{side}"] for side in SIDES)
    page.studio.extend(page.key, (top, right, bottom, left))
    for side in SIDES:
        st.session_state[f"extend_{side}"] = 0
