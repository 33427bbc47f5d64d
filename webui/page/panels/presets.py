"""Settings under a name: those of the page, and a visitor's own."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import streamlit as st

from webui.page.choices import choice, remember
from webui.page.context import Page, read_widgets
from webui.page.markdown import plain
from webui.sessions.presets import MOST_LETTERS_OF_A_NAME, with_preset

PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"steps": 6, "pictures": 1, "candidates": 1},
    "balanced": {"pictures": 1},
    "explore": {"pictures": 6},
    "careful": {"steps": 20, "pictures": 1, "order": "pnag", "candidates": 4},
}


def presets(page: Page) -> None:
    """The page's own presets and below them the visitor's."""
    say, lang = page.say, page.session.settings.lang
    st.segmented_control(
        say("preset"),
        list(PRESETS),
        key=choice("preset", lang, list(PRESETS), None),
        format_func=lambda name: say(f"preset_{name}"),
        help=say("preset_help"),
        on_change=remember,
        args=("preset", lang, partial(use_preset, page)),
    )
    own = page.studio.presets(page.key).read()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        if own:
            names = list(own)
            st.selectbox(
                say("preset_own"),
                names,
                key=choice("own_preset", lang, names, None),
                index=None,
                placeholder=say("preset_choose"),
                on_change=remember,
                args=("own_preset", lang, partial(use_own, page)),
                width="stretch",
            )
        keep(page)
        chosen = st.session_state.get("own_preset")
        if chosen in own:
            st.button(
                "",
                key="preset_remove",
                icon=":material/delete:",
                help=say("preset_remove", name=plain(chosen)),
                type="tertiary",
                on_click=lambda: page.attempt(lambda: remove(page, chosen)),
            )


def keep(page: Page) -> None:
    """Where the settings as they are now are given a name."""
    say = page.say
    with st.popover(say("preset_keep"), icon=":material/bookmark_add:", key="preset_keep"):
        st.text_input(
            say("preset_name"), key="preset_name", max_chars=MOST_LETTERS_OF_A_NAME,
            help=say("preset_keep_help"),
        )  # fmt: skip
        st.button(
            say("preset_save"),
            key="preset_save",
            on_click=lambda: page.attempt(lambda: save(page)),
        )


def save(page: Page) -> None:
    """Keep the settings under the name that was written."""
    read_widgets(page)
    name = " ".join(st.session_state.get("preset_name", "").split())
    page.studio.presets(page.key).save(name, page.session.settings)
    st.session_state["own_preset"] = name
    st.session_state["preset_name"] = ""
    page.tell(page.say("preset_saved", name=plain(name)))


def remove(page: Page, name: str) -> None:
    """Forget a preset."""
    page.studio.presets(page.key).remove(name)
    st.session_state["own_preset"] = None


def use_own(page: Page) -> None:
    """Set what a preset of the visitor's own sets."""
    told = page.studio.presets(page.key).read().get(st.session_state.get("own_preset") or "")
    if told is not None:
        page.update(lambda s: replace(s, settings=with_preset(s.settings, told)))


def use_preset(page: Page) -> None:
    """Set what a preset sets; the rest goes back to the model's own."""
    chosen = st.session_state.get("preset")
    if chosen is None:
        return
    defaults = page.studio.loaded.pipe.defaults
    changes = {
        "steps": defaults["num_inference_steps"],
        "order": defaults["order"],
        "candidates": defaults["num_candidates"],
        "patience": None,
        "time_budget": None,
    } | PRESETS[chosen]
    page.update(lambda s: replace(s, settings=replace(s.settings, **changes)))
