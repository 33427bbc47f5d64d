"""What is said about the picture on the canvas: its scores in words, and what the model sees."""

from __future__ import annotations

from typing import Any

import streamlit as st

from webui.page.context import Page
from webui.page.markdown import plain
from webui.sessions import telling
from webui.sessions.state import Picture

SCORES = ("compliance", "fidelity")


def about(page: Page, picture: Picture, details: dict[str, Any]) -> None:
    """Scores in words, whether it was stopped, and what the model sees in it."""
    say = page.say
    lines = []
    if picture.stopped and picture.steps:
        lines.append(say("stopped_at", step=picture.steps))
    if said := in_words(page, picture):
        lines.append(say("scores_sentence", scores=said))
    if lines:
        st.caption(" ".join(lines), help=say("scores_help"))
    told = details.get("told")
    if isinstance(told, dict):
        st.markdown(say("described", caption=plain(str(told.get("caption", "")))))
        if told.get("contradiction"):
            st.warning(say("contradicts", what=plain(str(told["contradiction"]))))
    elif telling.can_describe(page.studio):
        st.button(
            say("describe"),
            key="describe",
            icon=":material/image_search:",
            help=say("describe_help"),
            disabled=page.running,
            on_click=lambda: page.attempt(lambda: telling.describe(page.studio, page.key)),
        )


def in_words(page: Page, picture: Picture) -> str:
    """Both scores in words and per cent, without those that there are not."""
    known = {name: getattr(picture, name) for name in SCORES}
    return ", ".join(
        page.say(f"score_{name}", value=round(100 * value))
        for name, value in known.items()
        if value is not None
    )
