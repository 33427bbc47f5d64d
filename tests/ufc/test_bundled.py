"""The bundled model, as a new user meets it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ufc import showcase
from ufc.io.hub import DEFAULT_MODEL, bundled_folder
from ufc.pipeline import UFCPipeline

pytestmark = pytest.mark.skipif(
    not (bundled_folder() / DEFAULT_MODEL / "model_index.json").is_file(),
    reason="the bundled weights were not checked out",
)


@pytest.fixture(scope="module")
def model() -> UFCPipeline:
    return UFCPipeline.from_pretrained()


def garment_colour(pipeline: UFCPipeline, prompt: str) -> np.ndarray:
    """Mean RGB of what is not white, over four pictures of a prompt."""
    out = pipeline(prompt, seed=0, num_images_per_prompt=4, output_type="uint8").images
    pixels = out.reshape(-1, 3).astype(float)
    return pixels[pixels.min(1) < 200].mean(0)


@pytest.mark.parametrize(
    ("red", "blue"),
    [("women's red handbag", "women's blue handbag"), ("女士红色手提包", "女士蓝色手提包")],
)
def test_colour_words_are_obeyed_in_both_languages(model: UFCPipeline, red: str, blue: str) -> None:
    redness, blueness = garment_colour(model, red), garment_colour(model, blue)
    assert redness[0] - redness[2] > blueness[0] - blueness[2] + 30


def test_pictures_lie_on_white(model: UFCPipeline) -> None:
    out = model(["men's brown leather shoes", "男士黑色手表"], seed=1, output_type="uint8").images
    corners = out[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert np.median(corners) > 225


def test_the_showcase_draws_eleven_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert showcase.main(["--output-dir", str(tmp_path)]) == 0
    pictures = sorted(path.name for path in tmp_path.glob("[01]*.png"))
    assert len(pictures) == 11
    assert "compliance" in capsys.readouterr().out
    assert all(name in (tmp_path / "index.html").read_text() for name in pictures)


def test_a_showcase_without_a_model_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert showcase.main(["--model", "no-such", "--output-dir", str(tmp_path)]) == 2
    assert "bundled are" in capsys.readouterr().err
