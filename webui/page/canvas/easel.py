"""The picture with its blocks, live while it is generated, and what was generated beside it."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable
from functools import partial
from pathlib import PurePath
from typing import Any

import streamlit as st

from webui.drawing.layers import LAYERS, doubt, labels, layer
from webui.page.canvas.board import canvas, say_note
from webui.page.canvas.candidates import candidates
from webui.page.canvas.live import around, live
from webui.page.canvas.marks import more
from webui.page.canvas.reach import reach
from webui.page.canvas.telling import about, in_our_words
from webui.page.choices import choice, remember
from webui.page.context import Page, adopt_step, enlarge, guarded, scrubbed_step
from webui.sessions import derived, exports, state
from webui.sessions.generating.film import png_bytes
from webui.sessions.state import Picture

LOOK_EVERY = 0.3  # seconds between two looks at a drawing under way
LOOK_BEHIND = 1.0  # the same while others' come first: every look takes time from what is drawn


def easel(page: Page) -> None:
    """The middle of the page."""
    # Set anew, or Streamlit forgets it while a drawing hides its widget.
    st.session_state["weakest"] = st.session_state.get("weakest") or page.grid[1]
    if page.began is not None:
        look = partial(live, drawn=around(page))
        seconds = LOOK_BEHIND if page.began.ahead else LOOK_EVERY
        st.fragment(lambda: guarded(look, page), run_every=seconds)()
    else:
        with st.container():  # as deep as in a fragment, so that the canvas stays the same element
            still(page)


def still(page: Page) -> None:
    """The canvas to work on, and what belongs to its picture."""
    session = page.session
    picture, grid = session.current, page.grid
    scrubbed = scrubbed_step(page)
    details = page.details(picture)
    note = say_note(page)
    shown: dict[str, Any] = {"src": "", "colours": [], "legend": None, "labels": None}
    if picture is not None and scrubbed is not None:
        step = details["steps"][scrubbed]
        over = doubt(step["confidence"], page.say)
        image = derived.step_image(page.studio, page.key, picture, scrubbed)
        shown = {"src": enlarge(png_bytes(image)), "colours": over.colours, "legend": over.legend}
        facts = {"step": scrubbed + 1, "steps": len(details["steps"])}
        note = page.say("step_of", **facts)
    elif picture is not None:
        over = layer(st.session_state.get("layer") or "none", details, picture.id, page.say)
        shown = {
            "src": page.enlarged(picture),
            "colours": over.colours,
            "legend": over.legend,
            "labels": labels(details, picture.id, grid, page.say),
            "seen": state.just_drawn(session, grid),
        }
    canvas(page, note=note, editable=picture is not None and scrubbed is None, **shown)
    if picture is not None:
        for notice in details.get("notices", ()):
            st.warning(in_our_words(page.say, notice))
        if scrubbed is None:
            about(page, picture, details)
        below(page, picture, scrubbed)
        candidates(page, picture)
        more(page)
        reach(page)


def below(page: Page, picture: Picture, scrubbed: int | None) -> None:
    """What to lay over the picture, and the way to take it home."""
    say = page.say
    with st.container(
        horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"
    ):
        st.segmented_control(
            say("layer"),
            LAYERS,
            key=choice("layer", page.session.settings.lang, LAYERS, "none"),
            required=True,
            on_change=remember,
            args=("layer", page.session.settings.lang),
            format_func=lambda name: say(f"layer_{name}"),
            help=say("layer_help"),
        )
        with st.container(horizontal=True, width="content"):
            count = st.session_state["weakest"]
            width, height = picture.size or page.studio.frame_of(picture).size[::-1]
            st.button(
                say("repair"),
                key="repair",
                icon=":material/healing:",
                help=say("repair_help", count=count),
                disabled=page.running,
                on_click=lambda: page.attempt(lambda: repair(page, count)),
            )
            if scrubbed is None and exports.can_be_enlarged(page.studio, picture):
                st.download_button(
                    say("download_larger"),
                    lambda: exports.enlarged(page.studio, page.key, picture),
                    f"ufc-{picture.id}-large.png",
                    "image/png",
                    key="download_larger",
                    icon=":material/open_in_full:",
                    help=say("download_larger_help", width=2 * width, height=2 * height),
                    on_click="ignore",
                )
            name, data = seen(page, picture, scrubbed)
            st.download_button(
                say("download_size", width=width, height=height)
                if picture.full
                else say("download"),
                data,
                name,
                mimetypes.guess_type(name)[0],
                key="download",
                icon=":material/download:",
                help=say("download_help", width=width, height=height),
                on_click="ignore",
            )


def seen(page: Page, picture: Picture, step: int | None) -> tuple[str, Callable[[], bytes]]:
    """The name and the bytes of the picture that is seen, finished or after a step."""
    studio, key = page.studio, page.key
    if step is None:
        name = f"ufc-{picture.id}{PurePath(picture.best).suffix}"
        return name, partial(studio.store.read, key, picture.best)
    name = f"ufc-{picture.id}-step-{step + 1}.png"
    return name, partial(derived.step_png, studio, key, picture, step)


def repair(page: Page, count: int) -> None:
    """Repair the picture that is seen."""
    adopt_step(page)
    page.studio.repair(page.key, count)
