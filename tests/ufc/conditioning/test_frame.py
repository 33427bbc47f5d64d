"""Which grid a picture takes, and how it is laid into it."""

from __future__ import annotations

import pytest
from conftest import picture
from PIL import Image

from ufc.conditioning.frame import Frames
from ufc.io.validation import RequestError
from ufc_base.images import WHITE, fit_picture, picture_fit

PORTRAIT = Frames((16, 12), 16)
SQUARE = Frames((8, 8), 8)


@pytest.mark.parametrize(
    ("size", "grid"),
    [
        ((1200, 1600), (16, 12)),
        ((1201, 1603), (16, 12)),
        ((1000, 1000), (14, 14)),
        ((4000, 3000), (12, 16)),
        ((1000, 1500), (18, 12)),
        ((1920, 1080), (10, 18)),
        ((10, 4000), (24, 7)),
    ],
)
def test_a_picture_takes_the_grid_nearest_to_its_proportions(
    size: tuple[int, int], grid: tuple[int, int]
) -> None:
    assert PORTRAIT.choose(size).grid == grid


def test_pictures_near_a_grid_have_no_white_bars() -> None:
    for width in range(420, 1600, 35):
        frame = PORTRAIT.choose((width, 800))
        box = picture_fit((width, 800), frame.size, frame.stretch).box
        assert box == (0, 0, frame.size[1], frame.size[0])


def test_a_model_of_squares_lays_all_into_its_square() -> None:
    for size in ((60, 80), (64, 64), (72, 56), (500, 20)):
        frame = SQUARE.choose(size)
        assert (frame.grid, frame.stretch) == ((8, 8), 0.0)
    assert SQUARE.choose((62, 64)).fit(Image.new("RGB", (62, 64))).getpixel((0, 9)) == WHITE


def test_a_picture_of_whole_blocks_keeps_its_own_grid() -> None:
    assert PORTRAIT.choose((208, 208)).grid == (13, 13)
    assert PORTRAIT.choose((80, 160)).grid == (20, 10)  # too few blocks: it is enlarged
    assert PORTRAIT.choose((80, 160), codes=50).grid == (10, 5)
    assert SQUARE.choose((80, 48)).grid == (8, 8)
    assert SQUARE.choose((80, 48), codes=60).grid == (6, 10)
    assert SQUARE.choose((128, 32), codes=64).grid == (8, 8)  # an upload's, as an earlier call's
    assert SQUARE.whole((128, 32)) == (4, 16) and SQUARE.whole((60, 32)) is None


@pytest.mark.parametrize("resolution", [16, 64, 65, 256])
def test_squares_are_laid_out_as_they_always_were(resolution: int) -> None:
    for width in (1, 2, 31, 60, 64, 65, 97, 640, 4032):
        for height in (1, 3, 63, 64, 80, 500, 3024):
            side = max(width, height)
            inner = [max(1, round(edge * resolution / side)) for edge in (width, height)]
            left, top = ((resolution - edge) // 2 for edge in inner)
            fit = picture_fit((width, height), (resolution, resolution))
            assert fit.box == (left, top, left + inner[0], top + inner[1])


def test_height_and_width_go_before_the_picture() -> None:
    assert PORTRAIT.choose(None).size == (256, 192)
    assert PORTRAIT.choose((1000, 1000), height=192).grid == (12, 14)
    assert PORTRAIT.choose(None, 192, 256).grid == (12, 16)
    with pytest.raises(RequestError, match=r"height: got 250 pixels.*16.*such as 256"):
        PORTRAIT.choose(None, height=250)
    with pytest.raises(RequestError, match=r"width: got 16000 pixels.*such as 2048"):
        PORTRAIT.choose(None, width=16_000)


def test_a_small_stretch_fills_and_a_large_one_is_padded() -> None:
    near = fit_picture(Image.new("RGB", (105, 100)), (64, 64), 0.08)
    assert near.getpixel((9, 0)) == (0, 0, 0)
    far = fit_picture(Image.new("RGB", (110, 100)), (64, 64), 0.08)
    assert far.getpixel((9, 0)) == WHITE and far.getpixel((0, 9)) == (0, 0, 0)
    tall = fit_picture(Image.new("RGB", (30, 100)), (60, 40), 0.08)
    assert picture_fit((30, 100), (60, 40), 0.08).box == (11, 0, 29, 60)
    assert tall.size == (40, 60) and tall.getpixel((10, 30)) == WHITE


def test_a_picture_of_the_size_is_not_touched() -> None:
    image = picture(1, (192, 256))
    assert PORTRAIT.choose(image.size).fit(image).tobytes() == image.tobytes()
