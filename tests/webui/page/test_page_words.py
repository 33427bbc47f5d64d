"""What the page says of pictures, plans and words, and what is gone on from; in both languages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("streamlit", reason="the editor's extra is not installed")

import streamlit
from conftest import make_pipeline
from page_helpers import (  # noqa: F401
    generate,
    model,
    open_page,
    output,
    said,
    session_of,
    wait_for_the_drawing,
)
from streamlit.testing.v1 import AppTest

WORDS = {
    "en": {
        "bag": "women's red bag",
        "cat": "a cat on the moon",
        "scores": r"By its own estimate it follows your words \d+ %, looks real \d+ %\.",
        "plan": "Generates a new picture. Reference images that count: 1.",
        "outside": "I know clothes, shoes, bags and accessories.",
    },
    "zh": {
        "bag": "女士红色手提包",
        "cat": "月亮上的猫",
        "scores": r"模型自评：符合描述 \d+ %，真实 \d+ %。",
        "plan": "将画一张新图。 参考图：1 张。",
        "outside": "我只认识服装、鞋、包和配饰",
    },
}


@pytest.fixture(params=["en", "zh"])
def lang(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def page(output: Path, lang: str) -> AppTest:
    """The page in a language, with one picture."""
    page = open_page(s="new", lang=lang)
    page.text_area[0].set_value(WORDS[lang]["bag"])
    generate(page)
    return page


def test_scores_are_words_and_references_are_in_the_plan(page: AppTest, lang: str) -> None:
    assert re.search(WORDS[lang]["scores"], said(page))
    page.button(key="reference_current").click().run()
    assert WORDS[lang]["plan"] in said(page)


def test_variations_of_a_picture(page: AppTest, output: Path) -> None:
    page.slider(key="vary_share").set_value(25).run()
    page.button(key="vary").click().run()
    wait_for_the_drawing(page)
    first, *made = session_of(page, output).pictures
    assert [(one.parent, len(one.kept)) for one in made] == [(first.id, 12)] * 4


def test_a_picture_is_extended(page: AppTest, output: Path) -> None:
    page.number_input(key="extend_right").set_value(1).run()
    page.button(key="extend").click().run()
    wait_for_the_drawing(page)
    assert len(session_of(page, output).pictures) == 2
    current = session_of(page, output).current
    assert current is not None
    assert (current.parent, current.size) == ("0001", (20, 16))
    assert page.number_input(key="extend_right").value == 0


def test_words_that_the_model_does_not_know_are_said(
    output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lang: str
) -> None:
    make_pipeline().save_pretrained(tmp_path / "fashion-tiny")
    monkeypatch.setenv("UFC_MODEL", str(tmp_path / "fashion-tiny"))
    streamlit.cache_resource.clear()
    page = open_page(s="new", lang=lang)
    page.text_area[0].set_value(WORDS[lang]["cat"]).run()
    assert WORDS[lang]["outside"] in said(page)
    page.text_area[0].set_value(WORDS[lang]["bag"]).run()
    assert WORDS[lang]["outside"] not in said(page)
