"""Codes of several codebooks: embedding, output layer, and the loss of joint codes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from conftest import tiny_transformer
from toy_books import CODES, SIZE, books_transformer

from ufc.conditioning.sequence import ControlItem
from ufc.model.transformer import UFCConfig, UFCTransformer
from ufc.sampling.guidance import make_predict, make_prefix
from ufc.training.objectives.masked_codes import joint_loss
from vqgan.quantizer import neighbours_by_book, split_codes

EVERY = torch.arange(CODES)


def joint_log_probabilities(model: UFCTransformer, hidden_D: torch.Tensor) -> torch.Tensor:
    """Of every joint code of one cell, (V ** 2,), written down by hand."""
    rows, bias = model.code_rows(), model.code_bias
    first = F.linear(hidden_D, rows[:SIZE], bias[:SIZE]).log_softmax(-1)
    parts = []
    for code in range(SIZE):
        state = hidden_D + model.links[0](rows[code])
        second = F.linear(state, rows[SIZE:], bias[SIZE:]).log_softmax(-1)
        parts.append(first[code] + second)
    return torch.cat(parts)


def test_one_codebook_is_one_product_and_one_row() -> None:
    model = tiny_transformer(50)
    hidden = torch.randn(5, 32)
    rows = model.code_rows()
    assert torch.equal(model.code_logits(hidden), F.linear(hidden, rows, model.code_bias))
    assert not model.links
    assert torch.equal(model.embed(torch.arange(16) + model.vocabulary.code_base), rows)
    assert not any(name.startswith("links") for name in model.state_dict())


def test_a_cell_is_embedded_as_the_sum_of_its_codes() -> None:
    model = books_transformer()
    vocabulary, rows = model.vocabulary, model.code_rows()
    assert rows.shape == (2 * SIZE, 32)
    ids = torch.arange(vocabulary.fdl + 1)
    embedded, weight = model.embed(ids), model.embedding.weight
    codes = split_codes(EVERY, SIZE, 2)
    torch.testing.assert_close(
        embedded[vocabulary.code_base : vocabulary.code_mask], rows[codes[:, 0]] + rows[codes[:, 1]]
    )
    assert torch.equal(embedded[: vocabulary.code_base], weight[: vocabulary.code_base])
    assert torch.equal(embedded[vocabulary.code_mask :], weight[-4:])  # mask, [SEP], [REL], [FDL]


def test_each_codebook_has_columns_of_its_own_in_the_looks() -> None:
    model = books_transformer()
    books = torch.randn(2, SIZE, 2)
    model.know_codebook(books.flatten(0, 1))
    assert not model.looks[:SIZE, 2:].any() and not model.looks[SIZE:, :2].any()
    torch.testing.assert_close(
        model.looks[SIZE:, 2:], (books[1] - books[1].mean(0)) / books[1].std(0)
    )


@torch.no_grad()
def test_the_loss_is_the_cross_entropy_of_joint_codes() -> None:
    model = books_transformer()
    hidden = torch.randn(32)
    states = model.code_states(hidden.expand(CODES, -1))
    log_p = joint_log_probabilities(model, hidden)
    assert float(log_p.exp().sum()) == pytest.approx(1.0, abs=1e-5)
    for label in range(CODES):
        one = model.code_states(hidden[None])
        loss, correct = joint_loss(one, torch.tensor([label]), 0.0, None)
        assert float(loss) == pytest.approx(-float(log_p[label]), abs=1e-4)
        assert correct.shape == (1, 2)
    loss, _ = joint_loss(states, EVERY, 0.0, None)
    torch.testing.assert_close(loss, -log_p.mean())


@torch.no_grad()
def test_labels_are_smoothed_within_each_codebook() -> None:
    model, books = books_transformer(), torch.randn(2, SIZE, 2)
    neighbours = neighbours_by_book(books, 3)
    states = model.code_states(torch.randn(1, 32))
    expected = 0.0
    codes = split_codes(torch.tensor([29]), SIZE, 2)
    for k, logits in enumerate((states.first, states.after(codes[:, :1]))):
        code = int(codes[0, k]) - k * SIZE
        indices, weights = (part[k * SIZE + code] for part in neighbours)
        log_p = logits[0].log_softmax(-1)
        expected -= 0.9 * float((weights * log_p[indices]).sum()) + 0.1 * float(log_p.mean())
    loss, _ = joint_loss(states, torch.tensor([29]), 0.1, neighbours)
    assert float(loss) == pytest.approx(expected, abs=1e-4)


@torch.no_grad()
def test_the_codes_of_a_cell_start_out_independent() -> None:
    model = UFCTransformer(
        UFCConfig(codes=64, codebooks=2, text_vocabulary=5, width=16, heads=2, depth=1, grid=2)
    )
    states = model.code_states(torch.randn(1, 16).expand(8, -1))
    after = states.after(torch.arange(8)[:, None])
    alone = F.linear(states.hidden_ND, model.code_rows()[8:], model.code_bias[8:])
    assert torch.equal(after, alone)


@torch.no_grad()
def test_guidance_of_later_codes_is_that_of_their_logits() -> None:
    model, grid = books_transformer(), (4, 4)
    item = ControlItem([1, 2])
    given, nothing = make_prefix(model, [item]), make_prefix(model, [ControlItem()])
    codes = torch.full((1, 16), CODES)
    asked = codes, torch.zeros(1, dtype=torch.int64), codes == CODES
    before = torch.arange(16)[:, None] % SIZE
    guided = make_predict(model, given, nothing, 3.0, grid)(*asked)
    with_it, without = (make_predict(model, p, None, 1.0, grid)(*asked) for p in (given, nothing))
    expected = torch.lerp(without.after(before), with_it.after(before), 3.0)
    torch.testing.assert_close(guided.after(before), expected, atol=2e-3, rtol=1e-3)


def test_what_was_saved_is_loaded_and_old_files_have_one_codebook(tmp_path: Path) -> None:
    model = books_transformer()
    model.save_pretrained(tmp_path)
    loaded = UFCTransformer.from_pretrained(tmp_path)
    assert loaded.config == model.config
    hidden, codes = torch.randn(3, 32), torch.tensor([[1], [0], [7]])
    one, other = (m.code_states(hidden).after(codes) for m in (model, loaded))
    assert torch.equal(one, other)
    old = {name: v for name, v in UFCConfig().to_dict().items() if name != "codebooks"}
    assert UFCConfig.from_dict(old) == UFCConfig(codes=2048, codebooks=1)


def test_kept_rows_follow_the_weights() -> None:
    model = books_transformer()
    with torch.no_grad():
        ids = EVERY + model.vocabulary.code_base
        first = model.embed(ids)
        assert model.derived.kept
        model.embedding.weight.mul_(2)
        assert not torch.equal(model.embed(ids), first)


def test_impossible_codes_are_refused() -> None:
    with pytest.raises(ValueError, match="codes is 2048 with 2 codebooks, wanted V"):
        UFCConfig(codebooks=2)
    with pytest.raises(ValueError, match="at most 2"):
        UFCConfig(codes=16384**4, codebooks=4)
