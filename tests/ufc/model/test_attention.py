"""Every backend computes the same attention."""

from __future__ import annotations

import logging
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from ufc.model.attention import (
    Piece,
    as_bias,
    attend,
    attend_packed,
    attend_pieces,
    is_short,
    resolve_backend,
    rotary_table,
    rotate,
)


def inputs(queries: int = 5, keys: int = 7) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(2, n, 3, 8, generator=generator) for n in (queries, keys, keys))


@pytest.mark.parametrize("masked", ["no", "bool", "bias"])
def test_sdpa_agrees_with_the_formula(masked: str) -> None:
    q, k, v = inputs()
    mask = None
    if masked != "no":
        mask = torch.rand(2, 1, 5, 7, generator=torch.Generator().manual_seed(1)) > 0.3
        mask[..., 0] = True
    if masked == "bias":
        mask = torch.where(mask, 0.7, -torch.inf)
    torch.testing.assert_close(
        attend(q, k, v, mask, "sdpa"), attend(q, k, v, mask, "math"), atol=1e-5, rtol=1e-5
    )


def pack_math(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    query_lengths: tuple[int, ...],
    key_lengths: tuple[int, ...],
) -> torch.Tensor:
    """What xformers' block-diagonal mask means, as a dense one."""
    queries, keys = (
        torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
        for lengths in (query_lengths, key_lengths)
    )
    return attend(q, k, v, queries[:, None] == keys, "math")


def test_packing_is_each_sequence_by_itself() -> None:
    """What xformers does on a GPU, with a dense mask in its place."""
    generator = torch.Generator().manual_seed(0)

    def random(batch: int, length: int) -> torch.Tensor:
        return torch.randn(batch, length, 3, 8, generator=generator)

    pieces = [
        Piece(random(batch, queries), random(batch, keys), random(batch, keys))
        for batch, queries, keys in ((2, 5, 9), (1, 5, 5), (3, 1, 7))
    ]
    packed = attend_packed(pieces, pack_math)
    for piece, one, other in zip(pieces, packed, attend_pieces(pieces), strict=True):
        assert one.shape == piece.q.shape
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
        alone = attend(piece.q, piece.k, piece.v, None, "math")
        torch.testing.assert_close(one, alone, atol=1e-5, rtol=1e-5)


def test_bf16_stays_near_fp32() -> None:
    q, k, v = inputs()
    half = attend(*(x.bfloat16() for x in (q, k, v)), None, "sdpa").float()
    torch.testing.assert_close(half, attend(q, k, v, None, "math"), atol=3e-2, rtol=3e-2)


def test_xformers_gets_one_dtype_where_autocast_leaves_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Normed queries and keys stay in float32 beside values in bf16, which xformers refuses."""

    def memory_efficient(q, k, v, attn_bias=None):  # type: ignore[no-untyped-def]
        assert q.dtype == k.dtype == v.dtype
        return attend(q, k, v, attn_bias, "math")

    monkeypatch.setitem(sys.modules, "xformers", ModuleType("xformers"))
    monkeypatch.setitem(
        sys.modules, "xformers.ops", SimpleNamespace(memory_efficient_attention=memory_efficient)
    )
    q, k, v = inputs()
    mixed = attend(q, k, v.bfloat16(), torch.zeros(1, 1, 5, 7), "xformers")
    assert mixed.dtype == torch.bfloat16
    torch.testing.assert_close(mixed.float(), attend(q, k, v, None), atol=3e-2, rtol=3e-2)


def test_xformers_without_a_gpu_falls_back_with_one_line(caplog: pytest.LogCaptureFixture) -> None:
    resolve_backend.cache_clear()
    with caplog.at_level(logging.INFO):
        assert resolve_backend("xformers", "cpu") == "sdpa"
        assert resolve_backend("xformers", "cpu") == "sdpa"
    assert len(caplog.records) == 1


def test_auto_and_unknown_backends() -> None:
    assert resolve_backend("auto", "cpu") == "sdpa"
    assert resolve_backend("math", "cpu") == "math"
    with pytest.raises(ValueError, match="flash"):
        resolve_backend("flash", "cpu")


def test_rotary_scores_depend_on_relative_position_only() -> None:
    q, k, _ = (x[:1, :1, :1] for x in inputs())

    def score(row_q: int, col_q: int, row_k: int, col_k: int) -> torch.Tensor:
        place = [torch.tensor([n]) for n in (row_q, col_q, row_k, col_k)]
        turned_q = rotate(q, rotary_table(place[0], place[1], 8, 100.0))
        turned_k = rotate(k, rotary_table(place[2], place[3], 8, 100.0))
        return (turned_q * turned_k).sum()

    torch.testing.assert_close(score(1, 2, 4, 6), score(3, 5, 6, 9))
    assert not torch.isclose(score(1, 2, 4, 6), score(1, 2, 6, 4))


@torch.no_grad()
@pytest.mark.parametrize("masked", [None, "bool", "bias"])
def test_short_attention_in_bf16_is_near_the_formula(
    masked: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UFC_CPU_BF16", "1")
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, tokens, 3, 16) for tokens in (5, 9, 9))
    mask = None if masked is None else torch.rand(2, 1, 1, 9) < 0.7
    if mask is not None:
        mask[..., 0] = True
    given = as_bias(mask, torch.float32) if mask is not None and masked == "bias" else mask
    wanted = attend(q, k, v, mask, "math")
    half = [x.bfloat16() for x in (q, k, v)]
    assert is_short(*(x.transpose(1, 2) for x in half))
    made = attend(*half, given)
    assert made.dtype == torch.bfloat16
    torch.testing.assert_close(made.float(), wanted, rtol=0.05, atol=0.03)
    alone = attend(*(x[:1] for x in half), None if given is None else given[:1])
    assert torch.equal(alone, made[:1])


@pytest.mark.parametrize("causal", [False, True])
def test_gradients_of_short_attention_in_bf16_are_near_the_formulas(
    causal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UFC_CPU_BF16", "1")
    torch.manual_seed(0)
    exact = [torch.randn(2, tokens, 3, 16, requires_grad=True) for tokens in (5, 9, 9)]
    half = [x.detach().bfloat16().requires_grad_() for x in exact]
    weight = torch.randn(2, 5, 3, 16)
    assert is_short(*(x.transpose(1, 2) for x in half))
    (attend(*exact, None, "math", causal) * weight).sum().backward()
    (attend(*half, None, "sdpa", causal).float() * weight).sum().backward()
    for one, other in zip(half, exact, strict=True):
        assert one.grad is not None and other.grad is not None
        error = (one.grad.float() - other.grad).norm() / other.grad.norm()
        assert error < 0.03


@torch.no_grad()
def test_attention_in_bf16_compiles_as_one_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UFC_CPU_BF16", "1")
    q, k, v = (torch.randn(1, tokens, 2, 16).bfloat16() for tokens in (5, 9, 9))
    torch._dynamo.reset()
    compiled = torch.compile(attend, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(q, k, v, None), attend(q, k, v, None), rtol=0.05, atol=0.03)
