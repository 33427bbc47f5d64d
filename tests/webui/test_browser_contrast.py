"""Every word can be read: light and dark, both languages, and while a picture is generated.

It takes a minute: `make nightly ARGS=browser` runs it, by UFC_SLOW_BROWSER=1.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

pytest.importorskip("streamlit", reason="the editor's extra is not installed")
pytest.importorskip("selenium", reason="selenium is not installed")

import browser
from browser import Editor
from browser_pages import address, folder, take_long, window  # noqa: F401

pytestmark = [
    pytest.mark.skipif("UFC_SLOW_BROWSER" not in os.environ, reason="slow; see make nightly"),
    pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing())),
]

# The contrast of every piece of text that is seen to what is behind it, where it is below 4.5.
FAINT = """
const parse = (text) => {
  const canvas = (parse.canvas ??= new OffscreenCanvas(1, 1).getContext("2d"));
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = text;
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
};
const over = ([r, g, b, a], below) => [r, g, b].map((c, n) => c * a + below[n] * (1 - a));
const light = (rgb) => {
  const [r, g, b] = rgb.map((c) => (c /= 255) <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
  return .2126 * r + .7152 * g + .0722 * b;
};
const parent = (e) => e.assignedSlot ?? e.parentElement ?? e.getRootNode().host ?? null;
const chain = (e) => { const all = []; for (; e; e = parent(e)) all.unshift(e); return all; };
const check = (element, colour, text) => {
  const box = element.getBoundingClientRect();
  const seen = {checkOpacity: true, checkVisibilityCSS: true};
  if (!box.width || !box.height || !element.checkVisibility(seen)) return;
  if (element.closest(":disabled, [aria-disabled=true]")) return;
  if (element.closest("[data-testid=stIconMaterial], svg, [hidden]")) return;
  let back = [255, 255, 255], shown = 1;
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  for (const one of chain(element)) {
    const style = getComputedStyle(one), {left, right, top, bottom} = one.getBoundingClientRect();
    const behind = left <= x && x <= right && top <= y && y <= bottom; // a slider's value is beside
    if (behind || ["HTML", "BODY"].includes(one.tagName)) {
      back = over(parse(style.backgroundColor), back);
    }
    shown *= Number(style.opacity);
  }
  const [r, g, b, a] = parse(colour);
  const [one, two] = [light(over([r, g, b, a * shown], back)), light(back)].sort((x, y) => y - x);
  const ratio = (one + .05) / (two + .05);
  if (ratio < 4.5) faint.push(`${ratio.toFixed(2)} ${text.trim().slice(0, 40)}`);
};
const faint = [];
const walk = (root) => {
  for (const element of root.querySelectorAll("*")) {
    if (element.shadowRoot) walk(element.shadowRoot);
    const own = [...element.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data).join("");
    if (own.trim() && !["STYLE", "SCRIPT"].includes(element.tagName)) {
      check(element, getComputedStyle(element).color, own);
    }
    if (element.placeholder && !element.value) {
      check(element, getComputedStyle(element, "::placeholder").color, element.placeholder);
    }
  }
};
walk(document.body);
return faint;
"""


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest, window: Editor) -> Iterator[str]:
    features = {"features": [{"name": "prefers-color-scheme", "value": request.param}]}
    window.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", features)
    yield str(request.param)
    window.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_word_can_be_read(window: Editor, address: str, scheme: str, lang: str) -> None:
    window.open(f"{address}/?s=new&lang={lang}")
    assert window.driver.execute_script(FAINT) == []  # the hint, the examples
    for panel in ("panel_references", "panel_own", "panel_settings", "panel_fine"):
        window.unfold(panel)
    window.type_prompt("men's blue shirt")
    window.generate()
    window.drag(0, 1)
    window.settle()
    assert window.driver.execute_script(FAINT) == []


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_and_while_a_picture_is_generated_and_another_waits(
    window: Editor, address: str, scheme: str, lang: str
) -> None:
    window.open(f"{address}/?s=new&lang={lang}")
    window.type_prompt("men's blue shirt")
    take_long(window)
    window.press("generate")
    window.wait(lambda: window.all(".st-key-stop"), "the first")
    window.type_prompt("a red bag")
    window.press("generate")
    window.wait(lambda: window.all("[class*=st-key-cancel_]"), "the one that waits")
    window.wait(lambda: window.inside("canvas", ".board img:not([hidden])"), "a preview")
    window.settle()
    assert window.driver.execute_script(FAINT) == []
    assert window.all("[class*=st-key-cancel_]")  # it still was so
    window.press("stop_all")
    window.wait(lambda: not window.all(".st-key-stop"), "the end")
    window.settle()
    assert window.driver.execute_script(FAINT) == []  # a stopped picture
