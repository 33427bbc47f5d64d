"""Joint codes are sampled from their joint distribution, by one uniform number a cell."""

from __future__ import annotations

import pytest
import torch
from toy_books import CODES, SIZE, books_transformer

from ufc.model.code_head import CodeStates
from ufc.sampling.token_sampling import (
    confidence_of,
    multinomial_codes,
    sample_codes,
    together,
)
from vqgan.quantizer import neighbours_by_book, split_codes


def states_of(count: int, seed: int = 0) -> CodeStates:
    hidden = torch.randn(1, 32, generator=torch.Generator().manual_seed(seed))
    return books_transformer().code_states(0.05 * hidden.expand(count, -1))


def joint_probabilities(states: CodeStates) -> torch.Tensor:
    """Of the first cell, (V, V)."""
    first = states.first[0].softmax(-1)
    one = CodeStates(
        states.hidden_ND[:1].expand(SIZE, -1), states.rows_CD, states.bias_C, states.links
    )
    return first[:, None] * one.after(torch.arange(SIZE)[:, None]).softmax(-1)


@torch.no_grad()
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_sampling_inverts_the_joint_distribution(temperature: float) -> None:
    count = 20_000
    states = states_of(count)
    uniform = (torch.arange(count) + 0.5) / count
    codes, confidence = sample_codes(states, uniform, temperature)
    joint = joint_probabilities(states)
    torch.testing.assert_close(confidence, joint.flatten()[codes])
    if temperature == 1.0:  # the lexicographic inverse: shares are exact but for rounding
        shares = torch.bincount(codes, minlength=CODES) / count
        torch.testing.assert_close(shares, joint.flatten(), atol=2 / count, rtol=0)
        assert (codes.diff() >= 0).all()
    else:
        shares = torch.bincount(codes // SIZE, minlength=SIZE) / count
        expected = (states.first[0] / temperature).softmax(-1)
        torch.testing.assert_close(shares, expected, atol=2 / count, rtol=0)


@torch.no_grad()
def test_temperature_0_takes_the_likeliest_after_those_before() -> None:
    states = states_of(1)
    code, confidence = sample_codes(states, torch.tensor([0.3]), 0.0)
    joint = joint_probabilities(states)
    first = int(joint.sum(1).argmax())
    assert int(code) == first * SIZE + int(joint[first].argmax())
    assert float(confidence) == pytest.approx(float(joint.flatten()[code]))


@torch.no_grad()
def test_ends_of_the_uniform_number_are_codes() -> None:
    states = states_of(3)
    states.first[:, 0] = -1e9  # improbable codes at the edge
    codes, confidence = sample_codes(states, torch.tensor([0.0, 1 - 2**-24, 0.5]), 1.0)
    assert ((codes >= 0) & (codes < CODES)).all() and confidence.isfinite().all()


@torch.no_grad()
def test_confidence_is_the_product_of_what_looks_alike_in_each_codebook() -> None:
    states, books = states_of(1), torch.randn(2, SIZE, 2)
    indices, weights = neighbours_by_book(books, 3)
    alike = indices, weights / weights[:, :1]
    codes = torch.tensor([29])
    split = split_codes(codes, SIZE, 2)
    logits = states.first, states.after(split[:, :1])
    expected = 1.0
    for k in range(2):
        near, likeness = (part[split[0, k]] for part in alike)
        expected *= float((logits[k][0].softmax(-1)[near] * likeness).sum().clamp_max(1))
    assert float(confidence_of(states, codes, alike)) == pytest.approx(expected, abs=1e-5)
    sampled, confidence = sample_codes(states, torch.tensor([0.4]), 1.0, alike)
    torch.testing.assert_close(confidence, confidence_of(states, sampled, alike))


@torch.no_grad()
def test_codes_drawn_from_a_generator_follow_the_joint_distribution() -> None:
    count = 20_000
    states = states_of(count)
    codes = multinomial_codes(states, torch.Generator().manual_seed(0))
    expected = count * joint_probabilities(states).flatten()
    found = torch.bincount(codes, minlength=CODES)
    common = expected > 5
    statistic = float(((found - expected).square() / expected)[common].sum())
    freedom = int(common.sum()) - 1
    assert statistic < freedom + 4 * (2 * freedom) ** 0.5


@torch.no_grad()
def test_images_apart_are_sampled_as_they_are_alone() -> None:
    parts = [states_of(2, seed) for seed in (0, 1)]
    uniform = torch.tensor([0.1, 0.8, 0.3, 0.6])
    codes, confidence = sample_codes(together(parts), uniform, 1.0)
    for part, own in zip(parts, (slice(0, 2), slice(2, 4)), strict=True):
        alone = sample_codes(part, uniform[own], 1.0)
        assert torch.equal(alone[0], codes[own]) and torch.equal(alone[1], confidence[own])
