"""The causal pass: what it sees, with every backend, and from a cache cell by cell."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from conftest import tiny_transformer
from torch import Tensor

from ufc.conditioning.sequence import ControlItem, assemble
from ufc.model.attention import Piece, attend, attend_pieces
from ufc.model.prefix_cache import Prefix
from ufc.model.transformer import UFCConfig, UFCTransformer

GRID = torch.arange(16).view(4, 4)
ITEMS = [ControlItem([1, 2, 3], [GRID], [2.0]), ControlItem([3]), ControlItem()]


def random_codes(rows: int = 3, cells: int = 16) -> Tensor:
    return torch.randint(0, 16, (rows, cells), generator=torch.Generator().manual_seed(3))


def prefix(model: UFCTransformer, *items: ControlItem) -> Prefix:
    return model.encode_controls(assemble(items, model.vocabulary))


@pytest.fixture(scope="module")
def model() -> UFCTransformer:
    return tiny_transformer(50, autoregressive=True)


@pytest.mark.parametrize("learning", [False, True])
def test_a_cell_sees_the_controls_and_the_cells_before_it(
    model: UFCTransformer, learning: bool
) -> None:
    codes = random_codes()
    other = codes.clone()
    other[:, 6:] = (codes[:, 6:] + 1) % 16
    with torch.set_grad_enabled(learning):
        controls = prefix(model, *ITEMS)
        first, second = (model(x, controls, causal=True).target for x in (codes, other))
        assert torch.equal(first[:, :7], second[:, :7])  # cell 6 tells code 6 from those before
        assert (first[:, 7:] - second[:, 7:]).abs().amax(-1).min() > 1e-3
        alone = model(codes[2:], prefix(model, ControlItem()), causal=True).target
        torch.testing.assert_close(first[2:], alone, atol=2e-4, rtol=1e-4)
        assert not torch.allclose(first[:1], model(codes[:1], None, causal=True).target, atol=1e-3)


@pytest.mark.parametrize("backend", ["sdpa", "math"])
def test_a_cache_gives_what_the_whole_pass_gives(model: UFCTransformer, backend: str) -> None:
    """On another grid too, with several targets for each prefix, and where cells are skipped."""
    codes, grid = random_codes(6, 12), (3, 4)
    model.backend = backend
    with torch.no_grad():
        controls = prefix(model, *ITEMS).take(torch.tensor([0, 0, 1, 1, 2, 2]))
        whole = model(codes, controls, grid=grid, causal=True).target
        cache = model.causal_cache(controls, 12)
        for cell in (0, 1, 5, 6, 11):
            step = model.next_hidden(codes, cell, cache, grid)
            torch.testing.assert_close(step, whole[:, cell], atol=1e-4, rtol=1e-4)
    model.backend = "sdpa"


def test_masked_cells_are_told_as_without_the_ability(model: UFCTransformer) -> None:
    plain = tiny_transformer(50)
    plain.load_state_dict(model.state_dict() | plain.state_dict(), strict=False)
    shared = {name: plain.state_dict()[name] for name in plain.state_dict()}
    assert set(model.state_dict()) - set(shared) == {"causal_marks.weight"}
    fresh = [UFCTransformer(UFCConfig(width=32, depth=1, heads=2, autoregressive=on))
             for on in (False, True) if torch.manual_seed(0)]  # fmt: skip
    for name, value in fresh[0].state_dict().items():
        assert torch.equal(value, fresh[1].state_dict()[name])


def test_who_cannot_says_so(model: UFCTransformer, tmp_path: Path) -> None:
    old = tiny_transformer(50)
    with pytest.raises(ValueError, match=r"objectives: \[autoregressive=0.3\]"):
        old(random_codes(), None, causal=True)
    with pytest.raises(ValueError, match="no scores"):
        model(random_codes(), None, scores=True, causal=True)
    with pytest.raises(ValueError, match="needs control_attention 'prefix', got 'full'"):
        UFCConfig(control_attention="full", autoregressive=True)
    model.save_pretrained(tmp_path)
    assert UFCTransformer.from_pretrained(tmp_path).config.autoregressive


def causal_inputs(queries: int, keys: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, n, 3, 8, generator=generator) for n in (queries, keys, keys)]


@pytest.mark.parametrize(("queries", "keys"), [(5, 5), (5, 9), (1, 9)])
@pytest.mark.parametrize("biased", [False, True])
def test_causal_attention_is_aligned_at_the_end(queries: int, keys: int, biased: bool) -> None:
    q, k, v = causal_inputs(queries, keys)
    seen = torch.arange(keys) <= torch.arange(queries)[:, None] + keys - queries
    bias = torch.randn(2, 1, 1, keys) if biased else None
    whole = torch.where(seen, 0.0 if bias is None else bias, -torch.inf)
    expected = attend(q, k, v, whole, "math")
    for backend in ("sdpa", "math"):
        found = attend(q, k, v, bias, backend, causal=True)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_xformers_gets_its_own_causal_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its masks, laid out as tensors, stand for its kernels."""
    real = pytest.importorskip("xformers.ops.fmha.attn_bias")

    def memory_efficient(q, k, v, attn_bias=None):  # type: ignore[no-untyped-def]
        if attn_bias is not None and not isinstance(attn_bias, Tensor):
            attn_bias = attn_bias.materialize((1, 1, q.shape[1], k.shape[1]))
        return attend(q, k, v, attn_bias, "math")

    fmha = SimpleNamespace(attn_bias=real)
    ops = SimpleNamespace(memory_efficient_attention=memory_efficient, fmha=fmha)
    for name, module in {
        "xformers": ModuleType("xformers"), "xformers.ops": ops, "xformers.ops.fmha": fmha,
        "xformers.ops.fmha.attn_bias": real,
    }.items():  # fmt: skip
        monkeypatch.setitem(sys.modules, name, module)
    pieces = [Piece(*causal_inputs(4, keys), causal=True) for keys in (4, 7)]
    whole = [attend(p.q, p.k, p.v, None, "math", causal=True) for p in pieces]
    torch.testing.assert_close(attend_pieces(pieces, "xformers"), whole, atol=1e-5, rtol=1e-5)
    one = attend_pieces(pieces[1:], "xformers")
    torch.testing.assert_close(one, whole[1:], atol=1e-5, rtol=1e-5)


def test_autocast_leaves_two_dtypes_to_causal_attention() -> None:
    q, k, v = causal_inputs(4, 7)
    with torch.autocast("cpu", torch.bfloat16):
        found = attend(q, k, v.bfloat16(), None, "sdpa", causal=True)
    expected = attend(q, k, v, None, "math", causal=True)
    torch.testing.assert_close(found.float(), expected, atol=3e-2, rtol=3e-2)
