"""Two pictures under a slider, and blocks of one for the other."""

from __future__ import annotations

import streamlit as st

from webui.components import component
from webui.page.choices import choice, remember
from webui.page.context import MOST_SHOWN, Page
from webui.sessions import derived


def compare(page: Page) -> None:
    """Two pictures under a slider, and blocks of one for the other."""
    say, picture = page.say, page.session.current
    others = [item for item in page.session.shown[::-1] if picture and item.id != picture.id]
    if picture is None or not others:
        st.caption(say("compare_empty"))
        return
    ids = [item.id for item in others]
    nearest = picture.parent if picture.parent in ids else ids[0]
    lang = page.session.settings.lang
    chosen = st.selectbox(
        say("compare_with"),
        ids,
        key=choice("other", lang, ids, nearest),
        format_func=lambda name: named(page, name),
        on_change=remember,
        args=("other", lang),
    )
    other = page.session.find(chosen)
    assert other is not None
    full = bool(other.full or picture.full)  # what is joined is what the canvas shows
    whole = full and st.toggle(
        say("compare_full"), key="compare_full", help=say("compare_full_help", side=MOST_SHOWN)
    )
    if whole and any(max(item.size or (0,)) > MOST_SHOWN for item in (other, picture)):
        st.caption(say("compare_reduced", side=MOST_SHOWN))
    pair = {
        side: {
            "src": page.at_full_size(item) if whole else page.enlarged(item),
            "name": named(page, item.id),
        }
        for side, item in (("left", other), ("right", picture))
    }
    component("compare")(
        key="compare", data={**pair, "whole": whole, "text": {"slider": say("compare_slider")}}
    )
    marked = bool(page.session.view.marks)
    st.button(
        say("cross", picture=named(page, other.id)),
        key="cross",
        icon=":material/join_inner:",
        width="stretch",
        help=say("cross_photograph" if full else "cross_help"),
        disabled=full or not marked or page.running,
        on_click=lambda: page.attempt(lambda: derived.cross(page.studio, page.key, other.id)),
    )
    if not marked:
        st.caption(say("cross_unmarked"))


def named(page: Page, picture: str) -> str:
    return page.say("picture_name", picture=int(picture))
