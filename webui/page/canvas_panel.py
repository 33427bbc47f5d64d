"""The picture with its blocks, live while it is generated, and what was generated beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from ufc.conditioning.frame import cells
from ufc.io.validation import RequestError
from webui.components import component
from webui.drawing import blocks
from webui.drawing.charts import curves
from webui.drawing.layers import LAYERS, doubt, labels, layer
from webui.page.choices import choice, remember
from webui.page.context import Page, adopt_step, enlarge, guarded, scrubbed_step
from webui.sessions import derived, state, uploads
from webui.sessions.generation import png_bytes
from webui.sessions.state import Picture, Session
from webui.sessions.worker import Progress

SORTS = ("drawn", "compliance", "fidelity")
LOOK_EVERY = 0.3  # seconds between two looks at a drawing under way
CANVAS_WORDS = (
    "picture", "empty", "mode", "change", "keep", "tools", "brush", "rectangle", "row", "column",
    "marks", "invert", "grow", "clear", "undo", "redo", "blocks", "block",
)  # fmt: skip


def easel(page: Page) -> None:
    """The middle of the page."""
    # Set anew, or Streamlit forgets it while a drawing hides its widget.
    st.session_state["weakest"] = st.session_state.get("weakest") or page.grid[1]
    if page.running:
        st.fragment(lambda: guarded(live, page), run_every=LOOK_EVERY)()
    else:
        with st.container():  # as deep as in a fragment, so that the canvas stays the same element
            still(page)


# While nothing is drawn


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
            st.warning(notice)
        below(page, picture, scrubbed)
        candidates(page, picture)
        more(page)


def canvas(page: Page, *, note: str, editable: bool, **shown: Any) -> None:
    """The component, in the same place and with the same key whatever it shows."""
    session, say = page.session, page.say
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
            "note": note,
            "text": {name: say(f"canvas_{name}") for name in CANVAS_WORDS},
            **shown,
        },
        on_marks_change=lambda: on_marks(page),
        on_action_change=lambda: on_action(page),
    )


def on_marks(page: Page) -> None:
    """A drag ended."""
    marks = blocks.clean(st.session_state["canvas"].get("marks"), page.grid)
    page.update(lambda session: state.mark(session, marks))


def on_action(page: Page) -> None:
    """A button of the canvas was pressed."""
    grid = page.grid
    actions: dict[str, Callable[[Session], Session]] = {
        "change": lambda s: state.set_keep(s, False),
        "keep": lambda s: state.set_keep(s, True),
        "invert": lambda s: state.mark(s, blocks.invert(s.view.marks, grid)),
        "grow": lambda s: state.mark(s, blocks.grow(s.view.marks, grid)),
        "clear": lambda s: state.mark(s, ()),
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
    if state.just_drawn(session, page.grid):
        return page.say("note_drawn")
    return page.say("note_edit", change=change, kept=cells - change)


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
            height, width = page.studio.frame_of(picture).size
            st.button(
                say("repair"),
                key="repair",
                icon=":material/healing:",
                help=say("repair_help", count=count),
                disabled=page.running,
                on_click=lambda: page.attempt(lambda: repair(page, count)),
            )
            name, data = seen(page, picture, scrubbed)
            st.download_button(
                say("download"),
                data,
                name,
                "image/png",
                key="download",
                icon=":material/download:",
                help=say("download_help", width=width, height=height),
                on_click="ignore",
            )


def seen(page: Page, picture: Picture, step: int | None) -> tuple[str, bytes]:
    """The name and the bytes of the picture that is seen, finished or after a step."""
    if step is None:
        return f"ufc-{picture.id}.png", page.studio.store.read(page.key, picture.file)
    return f"ufc-{picture.id}-step-{step + 1}.png", derived.step_png(
        page.studio, page.key, picture, step
    )


def repair(page: Page, count: int) -> None:
    """Repair the picture that is seen."""
    adopt_step(page)
    page.studio.repair(page.key, count)


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
                    "caption": scores_of(page, picture) if scores else caption(page, picture),
                    "title": picture.request.get("prompt") or "",
                    "shown": picture.id == page.session.view.picture,
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
    picture = page.session.find(st.session_state[key].get("star"))
    if picture is not None:
        page.update(lambda s: state.set_favourite(s, picture.id, not picture.favourite))


def scores_of(page: Page, picture: Picture) -> str:
    """Both scores in two digits, a dash for what there is not."""
    said = {
        name: "–" if value is None else f"{value:.2f}"
        for name, value in (("compliance", picture.compliance), ("fidelity", picture.fidelity))
    }
    return page.say("scores", **said)


def caption(page: Page, picture: Picture) -> str:
    return f"{int(picture.id)} {page.say(f'kind_{picture.kind}')}".strip()


def more(page: Page) -> None:
    """Marks by number or from a file, and the blocks that the model doubts."""
    say, session, grid = page.say, page.session, page.grid
    with st.expander(say("marks_more"), key="panel_marks", icon=":material/grid_on:"):
        change = state.blocks_to_change(session.view, grid)
        typed = blocks.format_blocks(change) if len(change) < cells(grid) else ""
        st.session_state["typed"] = typed
        st.text_input(
            say("marks_typed"),
            key="typed",
            help=say("marks_typed_help"),
            placeholder="0-47,60",
            on_change=lambda: page.attempt(lambda: type_marks(page)),
        )
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.number_input(
                say("repair_count"),
                1,
                cells(grid) - 1,
                key="weakest",
                width=150,
            )
            st.button(
                say("repair_mark"),
                key="repair_mark",
                on_click=lambda: page.attempt(
                    lambda: derived.find_weakest(page.studio, page.key, st.session_state["weakest"])
                ),
            )
        uploader = f"mask_{st.session_state.get('mask_taken', 0)}"
        st.file_uploader(  # of any type: what is no picture is refused with a reason
            say("marks_upload"), key=uploader, on_change=take_mask, args=(page, uploader)
        )
        st.download_button(
            say("marks_download"),
            lambda: uploads.mask(page.studio, page.key),
            "mask.png",
            "image/png",
            key="mask_download",
            on_click="ignore",
        )


def type_marks(page: Page) -> None:
    """Mark by typed numbers and ranges; nothing typed marks nothing."""
    text, grid = st.session_state["typed"].strip(), page.grid
    if not text:
        page.update(lambda session: state.mark(session, ()))
        return
    try:
        change = blocks.parse_blocks(text, cells(grid))
    except RequestError as error:
        raise ValueError(str(error).removeprefix("preserve_blocks: ")) from None
    page.update(lambda session: state.mark_to_change(session, change, grid))


def take_mask(page: Page, uploader: str) -> None:
    file = st.session_state.get(uploader)
    if file is not None:
        page.attempt(lambda: uploads.upload_mask(page.studio, page.key, file.getvalue()), file.name)
        st.session_state["mask_taken"] = st.session_state.get("mask_taken", 0) + 1


# While a drawing is under way


def live(page: Page) -> None:
    """The canvas as it is now, how far it is, and the way to stop it; looks again by itself."""
    progress = page.progress()
    if progress is None:
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


def how_far(page: Page, progress: Progress) -> str:
    """One line on a drawing under way."""
    if progress.state == "waiting":
        if progress.ahead:
            return page.say("waiting", count=progress.ahead)
        return page.say("waiting_next")
    if not progress.step:
        return page.say("canvas_starting")
    return page.say("step_live", step=progress.step, steps=progress.steps)
