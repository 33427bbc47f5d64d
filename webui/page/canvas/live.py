"""The canvas while a picture is generated."""

from __future__ import annotations

from functools import partial
from typing import Any

import streamlit as st

from webui.drawing.charts import curves
from webui.drawing.layers import doubt
from webui.page.canvas.board import canvas
from webui.page.context import Page, enlarge
from webui.page.markdown import plain
from webui.sessions.generating.worker import Progress

SHORT = 2  # seconds that need no word
SHOWN_LETTERS = 60  # of the words of one that waits


def live(page: Page) -> None:
    """The canvas as it is now, how far it is, and the way to stop it; looks again by itself."""
    progress = page.progress()
    if progress is None or progress.number != page.front:
        st.rerun()
        return
    say, frame = page.say, progress.frame
    shown: dict[str, Any] = {"src": "", "colours": [], "legend": None, "labels": None}
    current = page.session.current
    if frame.get("previews"):
        over = doubt(frame["confidence"][0], say)
        shown |= {
            "src": enlarge(frame["previews"][0]), "colours": over.colours, "legend": over.legend,
        }  # fmt: skip
    elif current is not None:
        shown["src"] = page.enlarged(current)
    # Marks are those of what comes next: this drawing does not look at them any more.
    editable = bool(frame.get("previews"))
    canvas(page, note=how_far(page, progress), editable=editable, seen=True, **shown)
    st.progress(progress.step / max(1, progress.steps))
    if frame.get("curves"):
        names = {name: say(f"curve_{name}") for name in ("compliance", "fidelity")}
        st.html(curves(frame["curves"], progress.steps, names))
    queue(page)


def queue(page: Page) -> None:
    """What the visitor asked for after this, each with the way to take it out again."""
    say = page.say
    for waiting in page.studio.worker.queue(page.key):
        with st.container(
            horizontal=True, vertical_alignment="center", key=f"queue_{waiting.number}"
        ):
            words = plain(shortened(waiting.label)) or say("queue_unnamed")
            left = waiting.left
            time = "" if left is None else f" :gray[{say('queue_in', seconds=round(left))}]"
            st.markdown(f"{say('queue_item', words=words)}{time}")
            st.button(
                say("queue_cancel"),
                key=f"cancel_{waiting.number}",
                icon=":material/close:",
                type="tertiary",
                on_click=partial(page.studio.stop, page.key, waiting.number),
            )


def how_far(page: Page, progress: Progress) -> str:
    """One line on a drawing under way, and how long it takes yet."""
    left = progress.left
    if progress.state == "waiting":
        count = progress.ahead
        said = page.say("waiting", count=count) if count else page.say("waiting_next")
    elif not progress.step:
        return page.say("canvas_starting")
    else:
        said = page.say("step_live", step=progress.step, steps=progress.steps)
    if left is None or left < SHORT:
        return said
    return f"{said} {page.say('time_left', seconds=round(left))}"


def shortened(text: str) -> str:
    """The beginning of a text."""
    return text if len(text) <= SHOWN_LETTERS else f"{text[: SHOWN_LETTERS - 1]}…"
