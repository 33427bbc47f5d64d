"""Codes, vectors, and a codebook that stays alive."""

from __future__ import annotations

import pytest
import torch

from vqgan.quantizer import (
    CodebookUpdater,
    VectorQuantizer,
    code_neighbours,
    codebook_usage,
    join_codes,
    nearest_codes,
    neighbours_by_book,
    split_codes,
)


@pytest.mark.parametrize("l2_norm", [False, True])
def test_vectors_of_codes_are_what_forward_returns(l2_norm: bool) -> None:
    torch.manual_seed(0)
    quantizer = VectorQuantizer(16, 4, l2_norm)
    torch.nn.init.normal_(quantizer.embedding.weight)
    z = torch.randn(2, 4, 3, 5, requires_grad=True)
    quantised, commitment, codes = quantizer(z)
    torch.testing.assert_close(quantised, quantizer.vectors(codes))
    assert codes.shape == (2, 3, 5)
    quantised.sum().backward()
    if not l2_norm:
        torch.testing.assert_close(z.grad, torch.ones_like(z))
    assert commitment > 0


def test_nearest_is_nearest() -> None:
    torch.manual_seed(0)
    z, book = torch.randn(50, 4), torch.randn(9, 4)
    assert torch.equal(nearest_codes(z, book), torch.cdist(z, book).argmin(1))


def test_kmeans_start_finds_clusters_and_needs_enough_vectors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    centres = torch.tensor([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0], [5.0, 5.0]])
    z = (centres[:, None] + 0.1 * torch.randn(4, 50, 2)).flatten(0, 1)
    quantizer = VectorQuantizer(4, 2)
    updater = CodebookUpdater(quantizer)
    errors = []
    for seed in range(5):
        updater.initialise(z[:, :, None, None], torch.Generator().manual_seed(seed), iterations=20)
        errors.append(
            float(torch.cdist(centres, quantizer.codebook().detach()).min(1).values.max())
        )
    assert min(errors) < 0.2
    whole = quantizer.codebook().clone()
    monkeypatch.setattr("vqgan.quantizer.DISTANCES", 4 * 7)  # seven vectors at a time
    updater.initialise(z[:, :, None, None], torch.Generator().manual_seed(4), iterations=20)
    torch.testing.assert_close(quantizer.codebook(), whole)
    with pytest.raises(ValueError, match="at least 4 vectors, got 3"):
        updater.initialise(z[:3, :, None, None], torch.Generator())


def test_dead_codes_come_back() -> None:
    torch.manual_seed(0)
    quantizer = VectorQuantizer(64, 2)
    torch.nn.init.constant_(quantizer.embedding.weight, 50.0)
    updater = CodebookUpdater(quantizer, decay=0.5)
    z = torch.randn(8, 2, 8, 8)
    for step in range(30):
        updater.update(z, quantizer.codes(z), torch.Generator().manual_seed(step))
    used, perplexity = codebook_usage(torch.bincount(quantizer.codes(z).flatten(), minlength=64))
    assert used > 50
    assert perplexity > 30


def test_updater_state_survives_a_resume() -> None:
    updater = CodebookUpdater(VectorQuantizer(4, 2))
    updater.update(torch.randn(1, 2, 2, 2), torch.zeros(1, 2, 2).long(), torch.Generator())
    other = CodebookUpdater(VectorQuantizer(4, 2))
    other.load_state_dict(updater.state_dict())
    assert torch.equal(other.sums_VD, updater.sums_VD)


def test_usage_of_equal_shares() -> None:
    assert codebook_usage(torch.tensor([5, 5, 0, 0])) == (2, pytest.approx(2.0))


def test_alike_codes_share_a_label_and_lonely_ones_keep_theirs() -> None:
    torch.manual_seed(0)
    dense, sparse = torch.randn(20, 3) * 0.01, torch.randn(20, 3) * 10
    indices, weights = code_neighbours(torch.cat([dense, sparse]), count=5)
    assert torch.equal(indices[:, 0], torch.arange(40))
    torch.testing.assert_close(weights.sum(1), torch.ones(40))
    assert weights[:20, 0].max() < weights[20:, 0].min()
    assert (indices[:20] < 20).all()


def test_joint_codes_are_digits_and_split_again() -> None:
    codes = torch.tensor([[0, 4], [3, 7], [2, 5]])  # of two codebooks of 4
    joint = join_codes(codes, 4)
    assert joint.tolist() == [0, 15, 9]
    assert torch.equal(split_codes(joint, 4, 2), codes)
    every = torch.arange(5**3)
    assert torch.equal(join_codes(split_codes(every, 5, 3), 5), every)
    assert torch.equal(join_codes(split_codes(every, 125, 1), 125), every)


def test_neighbours_are_of_the_same_codebook() -> None:
    books = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(0))
    indices, weights = neighbours_by_book(books, 3)
    for k in range(2):
        own = code_neighbours(books[k], 3)
        assert torch.equal(indices[6 * k : 6 * k + 6], own[0])
        assert torch.equal(weights[6 * k : 6 * k + 6], own[1])
