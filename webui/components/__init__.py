"""The page's own components: block canvas, gallery and comparison, each a folder in here.

They are Components v2: plain files, mounted into the page itself, without a frame or a build. A
folder's scripts are one module together, in the order of their names.
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
    html, css = ((folder / f"{name}.{end}").read_text(encoding="utf-8") for end in ("html", "css"))
    scripts = sorted((one for one in folder.iterdir() if one.name.endswith(".js")), key=str)
    js = "\n".join(one.read_text(encoding="utf-8") for one in scripts)
    return st.components.v2.component(f"ufc_{name}", html=html, css=css, js=js)
