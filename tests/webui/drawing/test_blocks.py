"""Sets of blocks: from drags, masks and typed ranges, and back."""

from __future__ import annotations

import pytest
from PIL import Image

from webui.drawing import blocks


def test_what_a_browser_sends_is_not_trusted() -> None:
    assert blocks.clean([3, 1, 3, 99, -1, True, "2", None, 1.5], 4) == (1, 3)
    assert blocks.clean("0,1", 4) == ()
    assert blocks.clean(None, 4) == ()


def test_invert_twice_is_nothing() -> None:
    assert blocks.invert((0, 3), 2) == (1, 2)
    assert blocks.invert(blocks.invert((1, 5, 15), 4), 4) == (1, 5, 15)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((), ()),
        ((0,), (0, 1, 4, 5)),
        ((5,), (0, 1, 2, 4, 5, 6, 8, 9, 10)),
        ((15,), (10, 11, 14, 15)),
    ],
)
def test_grow_adds_one_ring_and_stays_inside(before: tuple, after: tuple) -> None:
    assert blocks.grow(before, 4) == after
    assert blocks.border(before, 4) == tuple(sorted(set(after) - set(before)))


def test_the_seam_is_on_the_side_that_loses_less() -> None:
    assert blocks.seam(tuple(range(8)), 4) == (4, 5, 6, 7)
    square = tuple(8 * row + column for row in range(4) for column in range(4))  # 16 of 64
    assert not set(blocks.seam(square, 8)) & set(square)
    rest = blocks.invert(square, 8)
    assert blocks.seam(rest, 8) == blocks.seam(square, 8)
    assert blocks.seam((), 4) == ()


@pytest.mark.parametrize("marked", [(), (0,), (3, 5, 12), tuple(range(16))])
def test_masks_and_blocks_are_the_same_thing(marked: tuple) -> None:
    mask = blocks.to_mask(marked, 4, 16)
    assert mask.size == (16, 16)
    assert blocks.from_mask(mask, 4, 16) == marked


def test_a_block_with_any_white_is_marked() -> None:
    mask = Image.new("L", (160, 160), 0)
    mask.paste(255, (30, 30, 50, 50))  # over the corner where four blocks meet
    assert blocks.from_mask(mask, 4, 16) == (0, 1, 4, 5)


def test_typed_ranges_come_back_as_short_as_can_be() -> None:
    marked = blocks.parse_blocks("0-4, 5,60", 64)
    assert blocks.format_blocks(marked) == "0-5,60"


def test_a_mix_takes_whole_blocks() -> None:
    one, other = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    mixed = blocks.mix(one, other, (3,), 2)
    assert mixed.getpixel((7, 7)) == (0, 0, 255)
    assert mixed.getpixel((3, 7)) == (255, 0, 0)
