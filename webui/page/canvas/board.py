"""The block canvas: what it is given, and what a visitor does on it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import streamlit as st

from ufc_base.images import ImageError
from webui.components import component
from webui.drawing import blocks
from webui.page.context import Page
from webui.page.panels.upload import place
from webui.sessions import state
from webui.sessions.state import Session
from webui.sessions.uploads import MAX_UPLOAD, too_large

CANVAS_WORDS = (
    "picture", "empty", "mode", "change", "keep", "tools", "brush", "rectangle", "row", "column",
    "lasso", "size", "small", "medium", "large", "marks", "invert", "grow", "clear", "undo", "redo",
    "blocks", "block", "view", "smaller", "whole", "larger", "hand", "begun", "ended",
)  # fmt: skip


def canvas(page: Page, *, note: str, editable: bool, **shown: Any) -> None:
    """The component, in the same place and with the same key whatever it shows."""
    session, say = page.session, page.say
    height, width = page.studio.frames.default.size
    size = {"width": width, "height": height}
    component("canvas")(
        key="canvas",
        data={
            "lang": say("lang_code"),
            "rows": page.grid[0],
            "columns": page.grid[1],
            "marks": list(session.view.marks),
            "keep": session.view.keep,
            "undo": bool(session.past) and not page.running,
            "redo": bool(session.future) and not page.running,
            "editable": editable,
            "seen": False,
            "working": False,
            "refused": st.session_state.get("marks_refused", 0),
            "note": note,
            "text": {name: say(f"canvas_{name}", **size) for name in CANVAS_WORDS},
            **shown,
        },
        on_marks_change=lambda: on_marks(page),
        on_action_change=lambda: on_action(page),
        on_file_change=lambda: on_file(page),
    )


def on_file(page: Page) -> None:
    """A picture was dropped or pasted."""
    told = st.session_state["canvas"].get("file")
    if not isinstance(told, dict):
        return
    name, data = str(told.get("name", "")), told.get("data")
    page.attempt(lambda: place(page, decoded(data)), name or "picture")


def decoded(data: object) -> bytes:
    """The bytes that the browser sent.

    Raises:
        RefusedError: they are too many.
        ImageError: there are none.
    """
    if not isinstance(data, str):
        raise ImageError(f"got {type(data).__name__}, wanted the bytes of a picture")
    if len(data) > 4 * MAX_UPLOAD // 3 + 4:
        raise too_large(3 * len(data) // 4)
    return base64.b64decode(data)


def on_marks(page: Page) -> None:
    """A drag ended; where it came to nothing, the canvas is to take back what it shows."""
    told = st.session_state["canvas"].get("marks")
    page.update(lambda session: state.mark(session, blocks.clean(told, page.grid)))
    with suppress(KeyError):  # the session is gone
        if page.session.view.marks != blocks.clean(told, page.grid):
            st.session_state["marks_refused"] = st.session_state.get("marks_refused", 0) + 1


def on_action(page: Page) -> None:
    """A button of the canvas was pressed."""
    actions: dict[str, Callable[[Session], Session]] = {
        "change": lambda s: state.set_keep(s, False),
        "keep": lambda s: state.set_keep(s, True),
        "undo": state.undo,
        "redo": state.redo,
    }
    action = actions.get(str(st.session_state["canvas"].get("action")))
    if action is not None:
        page.update(action)


def say_note(page: Page) -> str:
    """The line below the canvas."""
    session, cells = page.session, page.grid[0] * page.grid[1]
    if session.current is None:
        return page.say("note_empty")
    change = len(state.blocks_to_change(session.view, page.grid))
    if change == cells:
        return page.say("note_all" if session.view.marks else "note_new", all=cells)
    if session.current.full and state.just_drawn(session, page.grid):
        return page.say("note_drawn_full")
    if state.just_drawn(session, page.grid):
        return page.say("note_drawn")
    return page.say("note_edit", change=change, kept=cells - change)
