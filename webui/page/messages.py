"""What the page says once, wherever it is scrolled to."""

from __future__ import annotations

import streamlit as st

LETTERS_A_SECOND = 18  # as one reads
SHORTEST, LONGEST = 3.0, 7.0  # seconds that a message stays


def tell(message: str) -> None:
    """Show a message above the page in its next run."""
    st.session_state.setdefault("messages", []).append(message)


def show_messages() -> None:
    """The messages that wait."""
    for message in st.session_state.pop("messages", []):
        stays = min(LONGEST, max(SHORTEST, 2 + len(message) / LETTERS_A_SECOND))
        st.toast(message, icon=":material/info:", duration=round(stays))
