"""How to generate: presets, seed, steps and the rest, for those who want to."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import streamlit as st

from ufc.sampling.generation_config import SETTINGS, kind_of, range_of
from ufc.sampling.orders import ORDERS
from webui.page.context import Page
from webui.page.panels.presets import presets
from webui.sessions import uploads
from webui.sessions.state import (
    MAX_SEED,
    MOST_LETTERS,
    RANGES,
    SHAPES,
    further_settings,
    picture_controls,
    word_controls,
)
from webui.sessions.studio import random_seed
from webui.strings import strings


def recipe(page: Page) -> None:
    """The settings of the next pictures."""
    say = page.say
    with st.expander(say("settings"), key="panel_settings", icon=":material/tune:"):
        presets(page)
        number(page, "pictures")
        shape(page)
        seed(page)
        st.text_input(
            say("negative"),
            key=page.widget("negative_prompt"),
            max_chars=MOST_LETTERS,
            help=say("negative_help"),
        )
        registered(page)
        number(page, "steps")
    with st.expander(say("fine"), key="panel_fine", icon=":material/instant_mix:"):
        number(page, "guidance_scale", 0.5, "%.1f")
        number(page, "temperature", 0.1, "%.1f")
        number(page, "top_k")
        number(page, "top_p", 0.05, "%.2f")
        st.radio(
            say("order"),
            orders(page),
            key=page.widget("order"),
            format_func=lambda name: say(f"order_{name}"),
            help=say("order_help"),
        )
        number(page, "candidates")
        number(page, "patience")
        number(page, "time_budget", 1.0, "%d")
        number(page, "feather")
        for name in further_settings():
            if name != "upscale" or page.studio.loaded.pipe.upscaler is not None:
                derived(page, name)


def orders(page: Page) -> list[str]:
    """The orders that the model has learnt."""
    learnt = page.studio.loaded.pipe.transformer.config.autoregressive
    return [name for name, order in ORDERS.items() if learnt or not order.causal]


def number(page: Page, name: str, step: float = 1, shown: str | None = None) -> None:
    """A slider with its help."""
    low, high = RANGES[name]
    key, help = page.widget(name), page.say(f"{name}_help")
    st.slider(page.say(name), low, high, step=step, format=shown, key=key, help=help)


def registered(page: Page) -> None:
    """A widget for each registered control, by its kind."""
    for name, control in word_controls().items():
        st.text_input(
            named(page, name), key=page.widget(name), max_chars=MOST_LETTERS, help=control.help
        )
    for name, control in picture_controls().items():
        file = st.file_uploader(named(page, name), key=page.widget(name), help=control.help)
        data = None if file is None else file.getvalue()
        if data != st.session_state.get(f"given_{name}"):
            st.session_state[f"given_{name}"] = data
            page.attempt(partial(uploads.give_picture, page.studio, page.key, name, data))


def derived(page: Page, name: str) -> None:
    """A widget for a sampling setting, by its kind; empty is the model's own."""
    kind, key = kind_of(name), page.widget(name)
    known = strings(page.session.settings.lang)
    help = known.get(f"{name}_help") or SETTINGS[name].description
    if kind is bool:
        st.checkbox(named(page, name), key=key, help=help)
    elif kind is str:
        st.text_input(named(page, name), key=key, help=help)
    else:
        low, high = (kind(end) for end in range_of(name))
        st.number_input(
            named(page, name), low, high, None, key=key, help=help,
            step=kind(1) if kind is int else 0.1, placeholder=page.say("own_setting"),
        )  # fmt: skip


def named(page: Page, name: str) -> str:
    """The words for a setting or control, or its name where the page has none."""
    known = strings(page.session.settings.lang)
    return known.get(name) or name.replace("_", " ").capitalize()


def shape(page: Page) -> None:
    """The proportions of a new picture, where the model was made for more than squares."""
    rows, columns = page.studio.frames.trained
    if rows == columns:
        return
    st.segmented_control(
        page.say("shape"),
        list(SHAPES),
        key=page.widget("shape"),
        required=True,
        format_func=lambda name: page.say(f"shape_{name}"),
        help=page.say("shape_help"),
    )


def seed(page: Page) -> None:
    """The seed with its dice and its lock."""
    say = page.say
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.number_input(
            say("seed"),
            0,
            MAX_SEED,
            key=page.widget("seed"),
            step=1,
            help=say("seed_help"),
            width=190,
        )
        st.button(
            "",
            icon=":material/casino:",
            key="dice",
            help=say("dice"),
            on_click=lambda: page.update(
                lambda s: replace(
                    s, settings=replace(s.settings, seed=random_seed(), seed_locked=True)
                )
            ),
        )
        st.checkbox(say("seed_lock"), key=page.widget("seed_locked"))
