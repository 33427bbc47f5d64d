"""What is said about the picture on the canvas: its scores in words, and what the model sees."""

from __future__ import annotations

from typing import Any

import streamlit as st

from webui.page.context import Page
from webui.page.markdown import plain
from webui.sessions import telling, words
from webui.sessions.state import Picture
from webui.strings import Say

SCORES = ("compliance", "fidelity")
SHORTENED = {"prompt": "shortened", "negative prompt": "shortened_negative"}


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
        described(page, picture, str(told.get("caption", "")))
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


def in_our_words(say: Say, notice: object) -> str:
    """A notice of a picture's details as Markdown: in words of the page, where it has some."""
    if not isinstance(notice, dict) or "shortened" not in notice:
        return plain(str(notice))
    what = str(notice["shortened"])
    return say(
        SHORTENED.get(what, "shortened_other"),
        what=plain(what.replace("_", " ").capitalize()),
        count=notice.get("tokens"),
        most=notice.get("most"),
        kept=plain(str(notice.get("kept", ""))),
    )


def described(page: Page, picture: Picture, caption: str) -> None:
    """What the model sees; changed, it becomes the prompt, and the blocks concerned are marked."""
    if not words.can_find_words(page.studio):
        st.markdown(page.say("described", caption=plain(caption)))
        return
    field = f"described_{picture.id}"
    st.session_state.setdefault(field, caption)
    st.text_input(
        page.say("described_words"),
        key=field,
        help=page.say("described_help"),
        disabled=page.running,
        on_change=lambda: page.attempt(
            lambda: words.reword(page.studio, page.key, caption, st.session_state[field])
        ),
    )


def in_words(page: Page, picture: Picture) -> str:
    """Both scores in words and per cent, without those that there are not."""
    known = {name: getattr(picture, name) for name in SCORES}
    return page.say("scores_between").join(
        page.say(f"score_{name}", value=round(100 * value))
        for name, value in known.items()
        if value is not None
    )
