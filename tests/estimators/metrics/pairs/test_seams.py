"""The figure of a seam."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from estimators.metrics.pairs.seams import seam


def grainy(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(120, 5, (64, 64, 3))


def as_image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def hole() -> Image.Image:
    mask = Image.new("L", (64, 64))
    mask.paste(255, (20, 20, 44, 44))
    return mask


def test_what_was_not_touched_has_no_seam() -> None:
    assert seam(as_image(grainy()), hole()) == pytest.approx(1, abs=0.15)


def test_a_patch_of_another_colour_has_one() -> None:
    pixels = grainy()
    pixels[20:44, 20:44] += 40
    assert seam(as_image(pixels), hole()) > 4


def test_without_a_border_or_of_another_size() -> None:
    with pytest.raises(ValueError, match="no border"):
        seam(as_image(grainy()), Image.new("L", (64, 64)))
    with pytest.raises(ValueError, match="wanted one size"):
        seam(as_image(grainy()), Image.new("L", (32, 32)))
