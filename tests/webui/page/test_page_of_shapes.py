"""The page with a model whose pictures are not square."""

from __future__ import annotations

from pathlib import Path

import pytest
from shapes import portrait_pipeline

pytest.importorskip("streamlit", reason="the editor's extra is not installed")

from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).parents[3]


def test_the_page_offers_shapes_and_shows_the_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    portrait_pipeline().save_pretrained(tmp_path / "portrait")
    monkeypatch.setenv("UFC_MODEL", str(tmp_path / "portrait"))
    monkeypatch.setenv("UFC_OUTPUT_DIR", str(tmp_path / "out"))
    page = AppTest.from_file(str(ROOT / "webui" / "app.py"), default_timeout=60).run()
    assert not page.exception
    assert page.segmented_control(key="setting_shape_en").value == "same"
