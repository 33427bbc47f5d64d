"""Where every block came from, and the proof that kept pixels are untouched."""

from __future__ import annotations

from typing import Any

import streamlit as st

from webui.page.context import Page
from webui.sessions.state import Picture


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
