"""axe-core finds nothing serious in the page: light and dark, both languages, with a picture.

UFC_AXE names its `axe.min.js`; `make nightly ARGS=browser` fetches it where npm is installed.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("streamlit", reason="the editor's extra is not installed")
pytest.importorskip("selenium", reason="selenium is not installed")

import browser
from browser import Editor
from browser_pages import address, folder, window  # noqa: F401

pytestmark = [
    pytest.mark.skipif("UFC_AXE" not in os.environ, reason="UFC_AXE names no axe.min.js"),
    pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing())),
]

RUN = """
const done = arguments[0];
axe.run(document, {resultTypes: ["violations"]}).then(
  ({violations}) => done(violations
    .filter(({impact}) => ["serious", "critical"].includes(impact))
    .flatMap(({id, nodes}) => nodes.map(({target, html}) => `${id}: ${target} ${html}`))),
  (error) => done([String(error)]),
);
"""


def findings(editor: Editor) -> list[str]:
    """What axe finds serious in the page as it is."""
    editor.settle()
    driver = editor.driver
    if not driver.execute_script("return 'axe' in window"):
        driver.execute_script(Path(os.environ["UFC_AXE"]).read_text(encoding="utf-8"))
    return list(driver.execute_async_script(RUN))


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_is_found(window: Editor, address: str, scheme: str, lang: str) -> None:
    features = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    window.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", features)
    try:
        window.open(f"{address}/?s=new&lang={lang}")
        assert findings(window) == []
        for panel in ("panel_references", "panel_own", "panel_settings", "panel_fine"):
            window.unfold(panel)
        window.type_prompt("men's blue shirt")
        window.generate()
        window.drag(0, 1)
        for panel in ("panel_marks", "panel_reach"):
            window.unfold(panel)
        for tab in (0, 1, 2, 3):
            window.tab(tab)
            assert findings(window) == []
        window.driver.get(f"{address}/?lang={lang}")
        window.wait(lambda: window.all("[class*=st-key-cards]") and not window.busy(), "the start")
        assert findings(window) == []
    finally:
        window.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
