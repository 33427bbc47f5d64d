"""Kept is kept to the last bit, and what is erased leaves no trace."""

from __future__ import annotations

import pytest
import torch
from conftest import picture
from PIL import Image

from ufc.conditioning.known_tokens import edit_canvas, feathered, fill_from_kept, paste_back


def test_blocks_become_pixels_and_locks() -> None:
    edit = edit_canvas(picture(), None, [0, 5], 4, 16)
    assert edit is not None
    assert edit.locked_T.nonzero().flatten().tolist() == [0, 5]
    assert edit.kept_HW[:4, :4].all() and edit.kept_HW[4:8, 4:8].all()
    assert int(edit.kept_HW.sum()) == 32


def test_a_block_with_any_white_pixel_is_free_but_its_black_pixels_stay() -> None:
    mask = Image.new("L", (16, 16), 0)
    mask.putpixel((5, 0), 255)
    edit = edit_canvas(picture(), mask, None, 4, 16)
    assert edit is not None
    assert not edit.locked_T[1] and int(edit.locked_T.sum()) == 15
    assert not edit.kept_HW[0, 5] and int(edit.kept_HW.sum()) == 255


def test_nothing_of_the_erased_pixels_is_left() -> None:
    kept = torch.zeros(16, 16, dtype=torch.bool)
    kept[:8] = True
    one, two = torch.rand(3, 16, 16), torch.rand(3, 16, 16)
    two[:, :8] = one[:, :8]
    assert torch.equal(fill_from_kept(one, kept), fill_from_kept(two, kept))
    assert torch.equal(fill_from_kept(one, kept)[:, :8], one[:, :8])


def test_paste_back_is_exact_and_feathers_outside_only() -> None:
    edit = edit_canvas(picture(), None, [0, 1, 2, 3], 4, 16)
    assert edit is not None
    drawn = torch.zeros(1, 3, 16, 16)
    for feather in (0, 3):
        pasted = paste_back(drawn, [edit], feather)[0]
        assert torch.equal(pasted[:, :4], edit.pixels_CHW[:, :4])
        assert torch.equal(pasted[:, 4 + feather :], drawn[0, :, 4 + feather :])
    fade = feathered(edit.kept_HW, 3)[:8, 0]
    assert fade.tolist() == pytest.approx([1, 1, 1, 1, 0.75, 0.5, 0.25, 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None, None, [1]), "no image"),
        ((picture(), None, None), "either mask_image"),
        ((picture(), Image.new("L", (16, 16)), [1]), "not both"),
        ((picture(), None, [16]), r"\[16\].*0 to 15"),
        ((picture(), Image.new("L", (16, 30)), None), "mask"),
    ],
)
def test_what_contradicts_itself_is_refused(arguments: tuple, message: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(ValueError, match=message):
        edit_canvas(*arguments, 4, 16)
