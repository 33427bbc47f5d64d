"""Reference images: any number, each on or off, weighed, in an order."""

from __future__ import annotations

from functools import partial

import streamlit as st

from webui.page.context import Page, adopt_step
from webui.page.markdown import plain
from webui.sessions import state, uploads
from webui.sessions.state import LEAST_WEIGHT, MOST_WEIGHT, ReferenceItem, Session


def references(page: Page) -> None:
    """The list of references and the way to add to it."""
    say, items = page.say, page.session.references
    count = sum(item.on for item in items)
    title = say("references_on", count=count) if items else say("references")
    with st.expander(title, key="panel_references", icon=":material/imagesmode:"):
        st.caption(say("references_help"))
        for place, item in enumerate(items):
            row(page, item, first=place == 0)
        uploader = f"references_{st.session_state.get('references_taken', 0)}"
        st.file_uploader(
            say("references_add"),
            accept_multiple_files=True,
            key=uploader,
            on_change=take,
            args=(page, uploader),
        )
        current = page.session.current
        if current is not None:
            st.button(
                say("reference_current"),
                key="reference_current",
                width="stretch",
                on_click=lambda: page.attempt(lambda: take_canvas(page)),
            )


def take_canvas(page: Page) -> None:
    """Take the picture that is seen as a reference."""
    adopt_step(page)
    current = page.session.current
    if current is not None:
        uploads.picture_as_reference(page.studio, page.key, current.id)


def row(page: Page, item: ReferenceItem, first: bool) -> None:
    """One reference: its picture, whether it counts and how much."""
    say, mark = page.say, item.file

    def change(name: str, key: str) -> None:
        page.update(lambda s: state.change_reference(s, mark, **{name: st.session_state[key]}))

    with st.container(
        horizontal=True, vertical_alignment="center", gap="small", key=f"row_{mark}", wrap=False
    ):
        st.image(page.studio.store.read(page.key, mark), width=56)
        on, weight = f"on_{mark}", f"weight_{mark}"
        # Anew in each run: what else may change them is not said to the widgets.
        st.session_state[on], st.session_state[weight] = item.on, item.weight
        st.checkbox(
            say("reference_on", name=plain(item.name)),
            key=on,
            label_visibility="collapsed",
            help=say("reference_on", name=plain(item.name)),
            on_change=change,
            args=("on", on),
        )
        st.slider(
            say("reference_weight"),
            LEAST_WEIGHT,
            MOST_WEIGHT,
            step=0.1,
            key=weight,
            label_visibility="collapsed",
            disabled=not item.on,
            on_change=change,
            args=("weight", weight),
        )
        st.button(
            "",
            key=f"up_{mark}",
            icon=":material/arrow_upward:",
            help=say("reference_up", name=plain(item.name)),
            type="tertiary",
            disabled=first,
            on_click=lambda: page.update(lambda s: state.move_reference(s, mark, -1)),
        )
        st.button(
            "",
            key=f"remove_{mark}",
            icon=":material/close:",
            help=say("reference_remove", name=plain(item.name)),
            type="tertiary",
            on_click=lambda: page.update(lambda s: state.remove_reference(s, mark)),
        )


def tell_references(page: Page, before: Session, missing: int) -> None:
    """Say which references of a request are not used, and which others made room for them."""
    if missing:
        page.tell(page.say("references_missing", count=missing))
    if gone := state.taken_out(before, page.session):
        page.tell(page.say("references_taken_out", count=gone))


def take(page: Page, uploader: str) -> None:
    """Take over uploads, and empty the field for the next."""
    for file in st.session_state.get(uploader) or []:
        page.attempt(
            partial(uploads.add_reference, page.studio, page.key, file.getvalue(), file.name),
            file.name,
        )
    st.session_state["references_taken"] = st.session_state.get("references_taken", 0) + 1
