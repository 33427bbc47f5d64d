"""Photographs before and after at full size, and what the page says of sizes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("streamlit", reason="the editor's extra is not installed")

from conftest import picture
from page_helpers import (  # noqa: F401
    generate,
    model,
    output,
    page,
    said,
)  # fmt: skip
from streamlit.testing.v1 import AppTest

from webui.page import context
from webui.page.canvas import board
from webui.page.shelf import compare
from webui.sessions import exports
from webui.sessions.state import Picture
from webui.strings import LANGUAGES, strings

SIZES = (96, 64), (80, 100)  # of photographs; the model has 16 x 16


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the comparison was last given."""
    given: dict[str, Any] = {}
    monkeypatch.setattr(compare, "component", lambda name: lambda key, data: given.update(data))
    return given


@pytest.fixture
def compared(page: AppTest) -> AppTest:
    """The page with two photographs, compared at full size."""
    for number, size in enumerate(SIZES):
        stream = io.BytesIO()
        picture(number, size).save(stream, "JPEG")
        own = next(one for one in page.get("file_uploader") if one.key == f"own_{number}")
        own.upload(f"{number}.jpg", stream.getvalue(), "image/jpeg").run()
    page.session_state["shelf"] = "compare"
    return page.run()


def test_before_and_after_are_compared_pixel_by_pixel(
    compared: AppTest, pair: dict[str, Any], output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared.run()
    assert not pair["whole"]
    assert pair["left"]["src"].startswith("data:image/")
    seen: list[tuple[bytes, str]] = []
    monkeypatch.setattr(context, "served", lambda *what: seen.append(what[:2]) or "media/1.jpg")
    compared.toggle(key="compare_full").set_value(True).run()
    assert pair["whole"]
    assert (pair["left"]["src"], pair["right"]["src"]) == ("media/1.jpg", "media/1.jpg")
    files = [next(output.rglob(f"originals/000{number}.jpg")) for number in (1, 2)]
    assert seen == [(path.read_bytes(), "image/jpeg") for path in files]  # as they came
    assert "shown reduced" not in said(compared)
    assert compared.button(key="cross").disabled


@pytest.mark.parametrize("lang", list(LANGUAGES))
def test_what_is_too_large_is_shown_reduced_and_that_is_said(
    compared: AppTest, pair: dict[str, Any], monkeypatch: pytest.MonkeyPatch, lang: str
) -> None:
    for module in (compare, context):
        monkeypatch.setattr(module, "MOST_SHOWN", 96)
    compared.segmented_control(key="setting_lang").set_value(lang).run()
    compared.toggle(key="compare_full").set_value(True).run()
    assert strings(lang)["compare_reduced"].format(side=96) in said(compared)  # of 80 x 100
    assert "96" in compared.toggle(key="compare_full").proto.help


def test_full_pictures_are_fetched_from_the_server_once(
    compared: AppTest, pair: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    compared.toggle(key="compare_full").set_value(True).run()
    first = [pair[side]["src"] for side in ("left", "right")]
    assert len(set(first)) == 2
    for address in first:
        assert address.startswith("mock/media/")  # beside the page, whatever its own address
        assert address.endswith(".jpg")
    compared.run()
    assert [pair[side]["src"] for side in ("left", "right")] == first


@pytest.mark.parametrize(
    ("lang", "words"),
    [
        ("en", "the model works at 16 × 16; larger"),
        ("zh", "模型的工作尺寸为 16 × 16 像素，更大的照片"),
    ],
)
def test_the_empty_canvas_says_the_size_before_anything_is_dropped(
    page: AppTest, monkeypatch: pytest.MonkeyPatch, lang: str, words: str
) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(board, "component", lambda name: lambda **told: given.update(told["data"]))
    page.segmented_control(key="setting_lang").set_value(lang).run()
    assert words in given["text"]["empty"]


@pytest.mark.parametrize("lang", list(LANGUAGES))
def test_a_zip_that_has_no_room_for_all_says_so_before(
    page: AppTest, output: Path, monkeypatch: pytest.MonkeyPatch, lang: str
) -> None:
    page.segmented_control(key="setting_lang").set_value(lang).run()
    page.text_area[0].set_value("bag")
    page.slider(key="setting_steps").set_value(1)
    page.slider(key="setting_pictures").set_value(2)
    generate(page)
    last = next(output.rglob("pictures/0002.png"))
    # In the archive, and about as much of the contact sheet.
    monkeypatch.setattr(exports, "MOST_BYTES", 2 * last.stat().st_size)
    del page.session_state["that_fit"]
    page.run()
    said_so = strings(lang)["history_zip_part"].format(most=0, count=1, all=2)
    assert said_so in said(page)


def test_what_fits_into_a_zip_is_counted_for_other_pictures_only(
    page: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.text_area[0].set_value("bag")
    page.slider(key="setting_steps").set_value(1)
    generate(page)
    counted: list[int] = []

    def that_fit(studio: object, key: str, pictures: Sequence[Picture]) -> Sequence[Picture]:
        counted.append(len(pictures))
        return pictures

    monkeypatch.setattr(exports, "that_fit", that_fit)
    page.run()
    assert counted == []
    generate(page)
    page.run()
    assert counted == [2]
