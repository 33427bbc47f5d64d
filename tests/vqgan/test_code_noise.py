"""Codes exchanged for near ones, and a decoder that learns from them."""

from __future__ import annotations

import pytest
import torch
from toy_training import tokenizer_config

from vqgan.quantizer import neighbours_by_book
from vqgan.training.code_noise import LEFT_ALONE, CodeNoise

BOOKS = torch.randn(2, 16, 3, generator=torch.Generator().manual_seed(0))


def test_codes_stay_within_their_book_and_near() -> None:
    noise = CodeNoise(BOOKS, 1.0, 4)
    first = torch.randint(16, (200, 3, 3, 1), generator=torch.Generator().manual_seed(1))
    codes = torch.cat([first, first.flip(0) + 16], dim=-1)
    found = noise(codes, seed=5)
    assert torch.equal(found, noise(codes, seed=5)) and not torch.equal(found, noise(codes, seed=6))
    near, _ = neighbours_by_book(BOOKS, 4)
    for book in range(2):
        own, new = codes[..., book].flatten() - 16 * book, found[..., book].flatten() - 16 * book
        assert ((near[16 * book + own] == new[:, None]).any(1)).all()
    changed = (found != codes).float().mean((1, 2, 3))
    untouched = float((changed == 0).float().mean())
    assert abs(untouched - LEFT_ALONE) < 0.12
    assert 0.2 < float(changed.mean()) < 0.4


def test_one_codebook_has_no_axis_of_its_own() -> None:
    codes = torch.randint(16, (8, 3, 3), generator=torch.Generator().manual_seed(1))
    assert CodeNoise(BOOKS[:1], 0.5, 4)(codes, 0).shape == codes.shape


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"code_noise": 1.5}, "0 to 1"), ({"code_noise": 0.5}, "freeze-encoder")],
)
def test_what_cannot_be_is_refused(tmp_path, changes, words) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=words):
        tokenizer_config(tmp_path, tmp_path, **changes)
