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


def around(page: Page) -> tuple[object, ...]:
    """What the rest of the page goes by and what is to be said, which only a run of all of it
    shows anew."""
    session, window = page.session, st.session_state
    to_say = tuple(window.get("messages", ())), window.get("refused", False)
    return session.view, session.settings, session.references, *to_say


def live(page: Page, drawn: tuple[object, ...]) -> None:
    """The canvas as it is now, how far it is, and the way to stop it; looks again by itself.

    `drawn` is what was `around` when the page was drawn: where it is so no more, all of it runs
    again.
    """
    progress, began = page.progress(), page.began
    if progress is None or began is None or passed(began, progress) or around(page) != drawn:
        st.rerun()
        return
    say, frame = page.say, progress.frame
    grid = tuple(frame.get("grid", page.grid))  # that of another shape than what was there
    same = grid == page.grid
    shown: dict[str, Any] = {"src": "", "colours": [], "legend": None, "labels": None}
    if not same:
        shown |= {"rows": grid[0], "columns": grid[1], "marks": []}
    current = page.session.current
    if frame.get("previews"):
        over = doubt(frame["confidence"][0], say)
        shown |= {
            "src": enlarge(frame["previews"][0]), "colours": over.colours, "legend": over.legend,
        }  # fmt: skip
    elif current is not None:
        shown["src"] = page.enlarged(current)
    # Marks are those of what comes next: this drawing does not look at them any more.
    editable = same and bool(frame.get("previews"))
    shown |= {"seen": True, "working": True}
    canvas(page, note=how_far(page, progress, editable), editable=editable, **shown)
    st.progress(progress.step / max(1, progress.steps))
    if frame.get("curves"):
        names = {name: say(f"curve_{name}") for name in ("compliance", "fidelity")}
        st.html(curves(frame["curves"], progress.steps, names))
    queue(page)


def passed(began: Progress, now: Progress) -> bool:
    """Whether a drawing is another, or at another point, than when the page was drawn."""
    names = ("number", "state", "stopping")
    return any(getattr(began, name) != getattr(now, name) for name in names)


def queue(page: Page) -> None:
    """What the visitor asked for after this, each with the way to take it out again."""
    say, queued = page.say, page.studio.worker.queue(page.key)
    for waiting in queued:
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
                on_click=partial(
                    page.attempt_anyway, partial(page.studio.stop, page.key, waiting.number)
                ),
            )
    if queued:
        st.button(
            say("queue_stop_all"),
            key="stop_all",
            icon=":material/stop_circle:",
            help=say("queue_stop_all_help"),
            type="tertiary",
            on_click=partial(page.attempt_anyway, partial(page.studio.stop_all, page.key)),
        )


def how_far(page: Page, progress: Progress, editable: bool = True) -> str:
    """One line on a drawing under way, and how long it takes yet."""
    left = progress.left
    if progress.state == "waiting":
        count = progress.ahead
        said = page.say("waiting", count=count) if count else page.say("waiting_next")
    elif not progress.step:
        return page.say("canvas_starting")
    else:
        name = "step_live" if editable else "step_seen"
        said = page.say(name, step=progress.step, steps=progress.steps)
    if left is None or left < SHORT:
        return said
    return f"{said} {page.say('time_left', seconds=round(left))}"


def shortened(text: str) -> str:
    """The beginning of a text."""
    return text if len(text) <= SHOWN_LETTERS else f"{text[: SHOWN_LETTERS - 1]}…"
