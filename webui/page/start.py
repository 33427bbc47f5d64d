"""The start page: the sessions that there are, to be opened, named, copied, deleted, put back."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import streamlit as st

from ufc.io.validation import RequestError
from ufc_base.images import ImageError
from webui.components import component
from webui.page.addresses import data_url
from webui.page.choices import in_language
from webui.page.markdown import plain
from webui.page.messages import show_messages, tell
from webui.sessions import catalogue
from webui.sessions.catalogue import Summary
from webui.sessions.studio import Studio
from webui.sessions.thumbnails import thumbnail
from webui.strings import LANGUAGES, Say, speak

LOG = logging.getLogger(__name__)
A_PAGE = 23  # sessions, beside the way to a new one
ACTS = ("rename", "duplicate", "delete")
FEW = 6  # sessions that are found without a search


def start(studio: Studio, found: list[Summary]) -> None:
    """All of the page, with the sessions that were `found`."""
    say = speak(language())
    head(say)
    show_messages()
    if len(found) > FEW:
        words = st.text_input(
            say("sessions_find"),
            key="find_sessions",
            placeholder=say("sessions_find"),
            label_visibility="collapsed",
            icon=":material/search:",
        )
        found = catalogue.with_words(found, words)
    pages, shown = leaf(found, "sessions_page")
    new = {"id": "new", "href": f"?s=new&lang={language()}", "look": "new"}
    items = [{**new, "name": say("session_new")}]
    items += [card(studio, one, say, ACTS) for one in shown]
    with st.container(key="sessions"):
        cards("cards", items, say, lambda: on_act(studio, say, "cards"))
    if pages > 1:
        st.pagination(pages, key="sessions_page")
    away(studio, say)


def leaf(found: list[Summary], key: str) -> tuple[int, list[Summary]]:
    """How many pages these sessions take, and those of the page that the widget `key` is at."""
    pages = max(1, -(-len(found) // A_PAGE))
    page = min(pages, st.session_state.get(key, 1))
    if key in st.session_state:
        st.session_state[key] = page  # there may be fewer than there were
    return pages, found[(page - 1) * A_PAGE : page * A_PAGE]


def language() -> str:
    """The language of the page: of the address, or the one that was chosen here."""
    first = st.query_params.get("lang") or os.environ.get("UFC_LANG", "en")
    lang = st.session_state.get("start_lang") or first
    return lang if lang in LANGUAGES else "en"


def head(say: Say) -> None:
    """The title and the language."""
    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key="head"
    ):
        st.markdown(f"# {say('title')}  \n:gray[{say('subtitle')}]")
        st.session_state.setdefault("start_lang", language())
        st.segmented_control(
            say("language"),
            list(LANGUAGES),
            key="start_lang",
            required=True,
            format_func=lambda lang: LANGUAGES[lang],
            label_visibility="collapsed",
        )


def cards(key: str, items: Sequence[Any], say: Say, act: Callable[[], None]) -> None:
    """Sessions as the component shows them."""
    words = ("rename", "duplicate", "delete", "restore", "unnamed")
    text = {name: say(f"session_{name}") for name in words}
    data = {"items": items, "text": text, "lang": language()}
    component("cards")(key=key, data=data, on_act_change=act)


def card(studio: Studio, one: Summary, say: Say, acts: Sequence[str]) -> dict[str, Any]:
    """What the component shows of a session."""
    opens = one.codebook == studio.codebook and "restore" not in acts
    about = say("session_about", date=date(one.changed, say), count=one.pictures)
    if one.codebook != studio.codebook:
        about = f"{about} · {say('session_of_another')}"
    return {
        "id": one.key,
        "href": f"?s={one.key}" if opens else "",
        "src": face(one),
        "name": one.title,
        "about": about,
        "look": "" if opens else "away",
        "acts": [act for act in acts if opens or act != "duplicate"],
    }


def face(one: Summary) -> str:
    """The picture to know a session by; empty where there is none, or it is gone."""
    if one.picture is not None:
        with suppress(OSError, ImageError):
            kind, data = thumbnail(one.picture)
            return data_url(data, kind)
    return ""


def date(at: float, say: Say) -> str:
    """When something was, as short as can be."""
    then, now = datetime.fromtimestamp(at), datetime.fromtimestamp(time.time())
    if then.date() == now.date():
        return say("date_today", time=f"{then:%H:%M}")
    return say("date_day", year=then.year, month=f"{then:%m}", day=f"{then:%d}")


def on_act(studio: Studio, say: Say, key: str) -> None:
    """A button of a card was pressed."""
    told = st.session_state[key].get("act")
    if isinstance(told, dict):
        act(studio, say, str(told.get("act")), str(told.get("id")), str(told.get("name", "")))


def act(studio: Studio, say: Say, name: str, key: str, given: str = "") -> None:
    """Do something to a session that a visitor asked for; say so where that cannot be."""
    store = studio.store
    progress = studio.worker.progress(key)
    if name == "delete" and progress is not None and progress.active:
        tell(say("busy_session"))
        return
    try:
        if name == "rename":
            catalogue.rename(store, key, given)
        elif name == "duplicate":
            was = {one.key: one.title for one in catalogue.summaries(store)}.get(key, "")
            catalogue.duplicate(store, key, say("session_copy", name=was))
        elif name == "delete":
            catalogue.delete(store, key)
            st.session_state["deleted"] = key
        elif name == "restore":
            catalogue.restore(store, key)
            st.session_state.pop("deleted", None)
    except KeyError:
        LOG.exception("a session is gone")  # the page shows those that there are
    except (OSError, RequestError) as error:
        tell(say("failed", error=plain(" ".join(str(error).split()))))
    except Exception:
        LOG.exception("what a visitor asked for failed")
        tell(say("failed_unknown"))


def away(studio: Studio, say: Say) -> None:
    """What was deleted: the way to have the last back at once, and all the others."""
    gone = catalogue.put_away(studio.store)
    last = st.session_state.get("deleted")
    named = {one.key: one.title or say("session_unnamed") for one in gone}
    if last in named:
        with st.container(horizontal=True, vertical_alignment="center", key="undo_row"):
            st.markdown(say("session_deleted", name=plain(named[last])))
            st.button(
                say("canvas_undo"),
                key="undo_delete",
                icon=":material/undo:",
                on_click=lambda: act(studio, say, "restore", last),
            )
    if not gone:
        return
    lang = in_language("panel_away", language())
    with st.expander(say("sessions_away", count=len(gone)), key=lang, icon=":material/delete:"):
        pages, shown = leaf(gone, "away_page")
        items = [card(studio, one, say, ("restore",)) for one in shown]
        cards("cards_away", items, say, lambda: on_act(studio, say, "cards_away"))
        if pages > 1:
            st.pagination(pages, key="away_page")
        seen = [one.key for one in shown]
        st.button(
            say("sessions_empty"),
            key="empty_away",
            icon=":material/delete_forever:",
            on_click=lambda: catalogue.delete_for_good(studio.store, seen),
        )
