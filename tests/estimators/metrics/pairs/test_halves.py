"""Halves of a product agree in colour, or do not; the ground is no part of it."""

from __future__ import annotations

import pytest
from PIL import Image, ImageDraw

from estimators.metrics.pairs.halves import halves_agree

RED, BLUE, WHITE = (200, 20, 30), (30, 60, 200), (250, 250, 250)


def product(left: tuple[int, ...], right: tuple[int, ...], at: int = 6) -> Image.Image:
    """A product of 20 x 24 pixels on white, that begins at a column."""
    image = Image.new("RGB", (48, 48), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((at - 1, 9, at + 20, 34), fill=(120, 120, 120))  # its rim
    draw.rectangle((at, 10, at + 9, 33), fill=left)
    draw.rectangle((at + 10, 10, at + 19, 33), fill=right)
    return image


@pytest.mark.parametrize("at", [2, 6, 26])
def test_halves_are_those_of_the_product_and_not_of_the_picture(at: int) -> None:
    assert halves_agree(product(RED, RED, at)) is True
    assert halves_agree(product(RED, BLUE, at)) is False


def test_a_white_product_is_parted_with_its_ground_known() -> None:
    """Cut first, its pale inside would meet the border of the cut and count as ground."""
    assert halves_agree(product(WHITE, WHITE)) is True
    assert halves_agree(product(WHITE, RED)) is False


def test_where_there_is_no_product_nothing_is_said() -> None:
    assert halves_agree(Image.new("RGB", (32, 32), "white")) is None
