"""Small pictures, and those generated together to choose from."""

from __future__ import annotations

import streamlit as st

from webui.components import component
from webui.page.canvas.telling import in_words
from webui.page.choices import choice, remember
from webui.page.context import Page
from webui.sessions import state
from webui.sessions.state import Picture, Session

SORTS = ("drawn", "compliance", "fidelity")


def candidates(page: Page, picture: Picture) -> None:
    """The pictures generated together, to choose the one to go on with."""
    say, lang = page.say, page.session.settings.lang
    group = state.group_of(page.session, picture)
    if len(group) < 2:
        return
    with st.container(
        horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"
    ):
        st.markdown(f"**{say('candidate_title')}**", help=say("scores_help"))
        by = st.segmented_control(
            say("sort"),
            SORTS,
            key=choice("sort", lang, SORTS, "drawn"),
            required=True,
            on_change=remember,
            args=("sort", lang),
            format_func=lambda name: say(f"sort_{name}"),
            label_visibility="collapsed",
        )
    if by in ("compliance", "fidelity"):
        group = tuple(sorted(group, key=lambda item: -(getattr(item, by) or 0)))
    gallery(page, "candidates", group, scores=True)


def gallery(page: Page, key: str, pictures: tuple[Picture, ...], scores: bool = False) -> None:
    """Small pictures; a click puts one on the canvas, the star remembers it."""
    say = page.say
    component("gallery")(
        key=key,
        data={
            "items": [
                {
                    "id": picture.id,
                    "src": page.source(picture),
                    "caption": in_words(page, picture) if scores else caption(page, picture),
                    "title": picture.request.get("prompt") or "",
                    "shown": picture.id == page.session.view.picture,
                    "stopped": picture.stopped,
                    "star": picture.favourite,
                }
                for picture in pictures
            ],
            "text": {"pick": say("history_pick"), "star": say("history_star")},
        },
        on_pick_change=lambda: on_pick(page, key),
        on_star_change=lambda: on_star(page, key),
    )


def on_pick(page: Page, key: str) -> None:
    chosen = st.session_state[key].get("pick")
    page.update(lambda session: state.show(session, chosen))


def on_star(page: Page, key: str) -> None:
    chosen = st.session_state[key].get("star")
    page.update(lambda session: starred(session, chosen))


def starred(session: Session, chosen: str | None) -> Session:
    """The session with a picture's star given, or taken away."""
    picture = session.find(chosen)
    if picture is None:
        return session
    return state.set_favourite(session, picture.id, not picture.favourite)


def caption(page: Page, picture: Picture) -> str:
    """The number of a picture, and what it is where it was not generated to its end."""
    kind = page.say("kind_stopped" if picture.stopped else f"kind_{picture.kind}")
    return f"{int(picture.id)} {kind}".strip()
