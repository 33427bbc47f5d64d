"""Pictures as addresses: in the address itself, or where the server has them."""

from __future__ import annotations

import base64

from streamlit import runtime


def data_url(data: bytes, kind: str = "image/png") -> str:
    """The bytes of a picture of a media type as an address."""
    return f"data:{kind};base64," + base64.b64encode(data).decode()


def served(data: bytes, kind: str, place: str) -> str:
    """The address, beside that of the page, where the server has a large picture for the window of
    this run, until it runs without; at each `place` of a page it has one.

    It is named after its bytes, so that a browser asks for it once.
    """
    return runtime.get_instance().media_file_mgr.add(data, kind, place).lstrip("/")
