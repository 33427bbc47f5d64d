"""Back through the steps of a picture."""

from __future__ import annotations

from typing import Any

import streamlit as st

from webui.drawing.charts import curves
from webui.page.context import Page
from webui.sessions import derived


def steps(page: Page) -> None:
    """Back through the steps of the picture on the canvas, and on from any of them."""
    say, picture = page.say, page.session.current
    details = page.details(picture)
    count = len(details.get("steps", ()))
    if picture is None or count < 2:
        st.caption(say("steps_empty"))
        return
    key = f"scrub_{picture.id}"
    st.session_state.setdefault(key, count)
    chosen = st.slider(say("steps_scrub"), 1, count, key=key, help=say("steps_scrub_help"))
    st.button(
        say("steps_fork", step=chosen),
        key="fork",
        icon=":material/fork_right:",
        width="stretch",
        disabled=chosen == count or page.running,
        on_click=lambda: page.attempt(
            lambda: derived.continue_from(page.studio, page.key, picture.id, chosen - 1)
        ),
    )
    tried = taken_try(details, chosen - 1)
    if tried is not None:
        st.caption(say("steps_try", candidate=tried + 1))
    st.caption(say("curve_title"), help=say("scores_help"))
    names = {name: say(f"curve_{name}") for name in ("compliance", "fidelity")}
    st.html(curves(details.get("curves", [])[:chosen], count, names))


def taken_try(details: dict[str, Any], step: int) -> int | None:
    """Which try of a step was taken, from 0; None where there was one try, or nothing drawn."""
    if not any(any(candidate > 0 for candidate in item["candidate"]) for item in details["steps"]):
        return None
    now = details["steps"][step]
    story = zip(now["candidate"], now["drawn"], strict=True)
    return next((candidate for candidate, drawn in story if drawn == step), None)
