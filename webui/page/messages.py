"""What the page says once, wherever it is scrolled to."""

from __future__ import annotations

import json

import streamlit as st

from webui.strings import Say

LETTERS_A_SECOND = 18  # as one reads
DOWNLOAD_ERROR = '[data-testid="stDownloadButtonError"]'
SHORTEST, LONGEST = 3.0, 7.0  # seconds that a message stays


def tell(message: str) -> None:
    """Show a message above the page in its next run."""
    st.session_state.setdefault("messages", []).append(message)


def show_messages() -> None:
    """The messages that wait."""
    for message in st.session_state.pop("messages", []):
        stays = min(LONGEST, max(SHORTEST, 2 + len(message) / LETTERS_A_SECOND))
        st.toast(message, icon=":material/info:", duration=round(stays))


def word_download_errors(say: Say) -> None:
    """Say in the page's words where a file to download cannot be made.

    It is made once it is asked for, in no run of the page; Streamlit then writes English of its
    own under the button, in whose place these words stand.
    """
    words = json.dumps(say("download_failed"), ensure_ascii=False)
    st.html(f"<style>{DOWNLOAD_ERROR}::after {{ content: {words} }}</style>")
