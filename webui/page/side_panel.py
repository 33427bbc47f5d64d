"""The right side: history, steps, comparison and check."""

from __future__ import annotations

from typing import Any

import streamlit as st

from webui.components import component
from webui.drawing.charts import curves
from webui.page.canvas_panel import gallery
from webui.page.choices import choice, in_language, remember
from webui.page.context import Page
from webui.sessions import derived, exports
from webui.sessions.state import Picture

TABS = ("history", "steps", "compare", "check")


def shelf(page: Page) -> None:
    """Four tabs; only the open one is drawn."""
    lang = page.session.settings.lang
    words = {page.say(f"tab_{name}"): name for name in TABS}
    key = in_language("shelf", lang)
    st.session_state[key] = page.say(f"tab_{open_tab()}")
    drawn = {"history": history, "steps": steps, "compare": compare, "check": check}
    tabs = st.tabs(list(words), key=key, on_change=lambda: turn_to(words[st.session_state[key]]))
    for name, tab in zip(TABS, tabs, strict=True):
        with tab:
            if tab.open is not False:
                drawn[name](page)


def open_tab() -> str:
    """The tab that is open."""
    return str(st.session_state.get("shelf") or TABS[0])


def turn_to(tab: str) -> None:
    st.session_state["shelf"] = tab


def history(page: Page) -> None:
    """Every picture of the session, the latest first."""
    say, pictures = page.say, page.session.shown[::-1]
    if not pictures:
        st.caption(say("history_empty"))
        return
    if any(picture.favourite for picture in pictures) and st.toggle(
        say("history_stars"), key="stars"
    ):
        pictures = tuple(picture for picture in pictures if picture.favourite) or pictures
    with st.container(key="history"):
        gallery(page, "gallery", pictures)
    chosen = pictures[::-1]
    with st.container(horizontal=True):
        st.download_button(
            say("history_zip"),
            lambda: exports.archive(page.studio, page.key, chosen),
            "ufc-pictures.zip",
            "application/zip",
            key="zip",
            icon=":material/folder_zip:",
            help=say("history_zip_help"),
            on_click="ignore",
        )
        st.download_button(
            say("history_sheet"),
            lambda: exports.sheet(page.studio, page.key, chosen),
            "ufc-sheet.png",
            "image/png",
            key="sheet",
            icon=":material/grid_view:",
            on_click="ignore",
        )


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


def compare(page: Page) -> None:
    """Two pictures under a slider, and blocks of one for the other."""
    say, picture = page.say, page.session.current
    others = [item for item in page.session.shown[::-1] if picture and item.id != picture.id]
    if picture is None or not others:
        st.caption(say("compare_empty"))
        return
    ids = [item.id for item in others]
    nearest = picture.parent if picture.parent in ids else ids[0]
    lang = page.session.settings.lang
    chosen = st.selectbox(
        say("compare_with"),
        ids,
        key=choice("other", lang, ids, nearest),
        format_func=lambda name: named(page, name),
        on_change=remember,
        args=("other", lang),
    )
    other = page.session.find(chosen)
    assert other is not None
    pair = {
        side: {"src": page.enlarged(item), "name": named(page, item.id)}
        for side, item in (("left", other), ("right", picture))
    }
    component("compare")(key="compare", data={**pair, "text": {"slider": say("compare_slider")}})
    marked = bool(page.session.view.marks)
    st.button(
        say("cross", picture=named(page, other.id)),
        key="cross",
        icon=":material/join_inner:",
        width="stretch",
        help=say("cross_help"),
        disabled=not marked or page.running,
        on_click=lambda: page.attempt(lambda: derived.cross(page.studio, page.key, other.id)),
    )
    if not marked:
        st.caption(say("cross_unmarked"))


def named(page: Page, picture: str) -> str:
    return page.say("picture_name", picture=int(picture))


def check(page: Page) -> None:
    """Where every block came from, and the proof that kept pixels are untouched."""
    say, picture = page.say, page.session.current
    details = page.details(picture)
    if picture is None:
        st.caption(say("check_empty"))
        return
    if not details:
        st.caption(say("check_upload"))
        return
    verdict(page, picture, details.get("audit") or {})
    st.caption(say("check_table"))
    st.dataframe(
        table(page, picture, details),
        hide_index=True,
        height=300,
        width="stretch",
        column_config={
            say("column_block"): st.column_config.NumberColumn(width=48),
            say("column_step"): st.column_config.TextColumn(width=48),
            say("column_confidence"): st.column_config.TextColumn(width=56),
        },
    )
    if picture.request:
        with st.expander(say("check_request"), key="panel_request"):
            st.json(dict(picture.request), expanded=True)


def verdict(page: Page, picture: Picture, audit: dict[str, Any]) -> None:
    """What became of the kept blocks."""
    say = page.say
    if not audit:
        st.caption(say(f"check_{picture.kind}"))
        return
    if audit["changed"]:
        st.error(say("check_changed", blocks=", ".join(map(str, audit["changed"]))))
    else:
        st.success(say("check_kept", kept=audit["kept"]), icon=":material/verified:")
        st.caption(say("check_digest", digest=audit["sha256_after"]))
    if picture.request.get("feather"):
        st.caption(say("check_soft"))
    if audit["hard_to_code"]:
        st.warning(say("check_hard", blocks=", ".join(map(str, audit["hard_to_code"]))))


def table(page: Page, picture: Picture, details: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a block; of the tries of a step, the one that was taken."""
    say = page.say
    confidence = details.get("confidence") or [None] * len(details["origin"])
    tries = any(story.get("candidate") for story in details["origin"])
    rows = []
    for block, story in enumerate(details["origin"]):
        place, drawn, sure = int(story["picture"]), "step" in story, confidence[block]
        if not drawn:
            source = say("origin_upload", picture=place)
        elif story["picture"] == picture.id:
            seed = story.get("seed")
            source = say("origin_drawn", seed="–" if seed is None else seed)
        else:
            source = say("origin_kept", picture=place)
        step = str(story["step"] + 1) if drawn else ""
        if drawn and tries:
            step += f" / {story['candidate'] + 1}"
        rows.append(
            {
                say("column_block"): block,
                say("column_origin"): source,
                say("column_step"): step,
                say("column_confidence"): "" if sure is None else f"{sure:.2f}",
            }
        )
    return rows
