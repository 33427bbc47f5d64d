"""Widgets that offer options by words: what is chosen is the option's name in every language.

Streamlit keeps the words of what was chosen under the widget's key, and takes them for the option.
In another language these words say nothing, so that a widget of each language has a key of its
own, and the name of what is chosen is kept beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st


def in_language(name: str, lang: str) -> str:
    """The key of the widget `name` in a language."""
    return f"{name}_{lang}"


def choice(name: str, lang: str, options: Sequence[str], first: str | None) -> str:
    """The key for the widget of a choice, which then shows what is chosen (at first, `first`)."""
    key = in_language(name, lang)
    chosen = st.session_state.get(name)
    chosen = chosen if chosen in options else first
    st.session_state[name] = st.session_state[key] = chosen
    return key


def remember(name: str, lang: str, then: Callable[[], object] | None = None) -> None:
    """Keep what was chosen in the widget of a language; then do what follows from it."""
    st.session_state[name] = st.session_state.get(in_language(name, lang))
    if then is not None:
        then()
