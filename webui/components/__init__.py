"""The page's own components: block canvas, gallery and comparison, each a folder in here.

They are Components v2: plain files, mounted into the page itself, without a frame or a build.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any


@cache
def component(name: str) -> Any:
    """The mounting function of the component in `webui/components/NAME/`."""
    import streamlit as st

    folder = files("webui") / "components" / name
    html, css, js = (
        (folder / f"{name}.{suffix}").read_text(encoding="utf-8")
        for suffix in ("html", "css", "js")
    )
    return st.components.v2.component(f"ufc_{name}", html=html, css=css, js=js)
