"""One attention function, three ways to compute it.

`xformers` is memory-efficient attention on a GPU; `sdpa` is torch's own, everywhere; `math` is the
plain formula in float32 that both are tested against.

Sequences of different lengths are attended together without padding (`attend_pieces`): xformers
packs them end to end under a block-diagonal mask, the others take them one after another.

Causal attention is aligned at the end: the last query sees every key, the one before it all but
the last, so what lies before the queries' own keys (a prefix, a cache) is seen by all of them.

Shapes: B batch, Q queries, T keys, N heads, D width of a head.
"""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ufc_base.computing.processor import cpu_has_bf16

BACKENDS = ("auto", "xformers", "sdpa", "math")
SHORT = 1024 * 1024  # scores of a head: 2 MB in bf16

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Piece:
    """Queries with all the keys that they may see: (B, Q, N, D), (B, T, N, D), (B, T, N, D).

    `bias` is added to the scores; it broadcasts to (B, 1, Q, T). None adds nothing. `causal`
    queries see of their own keys, the last Q ones, those up to themselves.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    bias: Tensor | None = None
    causal: bool = False


def attend(
    q_BQND: Tensor,
    k_BTND: Tensor,
    v_BTND: Tensor,
    mask: Tensor | None,
    backend: str = "sdpa",
    causal: bool = False,
) -> Tensor:
    """softmax(q k' / sqrt(D)) v, (B, Q, N, D).

    `mask` is boolean, True where a query may look, or a bias added to the scores; it broadcasts
    to (B, 1, Q, T). A query must see at least one key. `causal` hides from query q of Q what lies
    behind key T - Q + q, beside what the mask hides.
    """
    queries, keys = q_BQND.shape[1], k_BTND.shape[1]
    causal = causal and queries > 1  # one query alone is the last one, and sees all
    if causal and (mask is not None or backend == "math"):
        mask, causal = with_causal(mask, queries, keys, q_BQND), False
    if backend == "xformers":
        return attend_xformers(q_BQND, k_BTND, v_BTND, mask, causal)
    q, k, v = (x.transpose(1, 2) for x in (q_BQND, k_BTND, v_BTND))
    if backend == "math":
        return attend_math(q, k, v, mask).transpose(1, 2)
    if is_short(q, k, v):
        mask = with_causal(mask, queries, keys, q) if causal else mask
        return attend_short(q, k.to(v.dtype), v, mask).transpose(1, 2)
    if causal and queries < keys:
        q, k = q.to(v.dtype), k.to(v.dtype)  # autocast does not see into this mask
        from torch.nn.attention.bias import causal_lower_right  # it imports the compiler

        mask, causal = causal_lower_right(queries, keys), False
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
    return out.transpose(1, 2)


def with_causal(mask: Tensor | None, queries: int, keys: int, like: Tensor) -> Tensor:
    """A mask or bias that also hides what comes after each query; (..., Q, T)."""
    seen = torch.ones(queries, keys, dtype=torch.bool, device=like.device).tril(keys - queries)
    if mask is None:
        return seen
    if mask.dtype == torch.bool:
        return mask & seen
    return mask.masked_fill(~seen, -math.inf)


def attend_math(q_BNQD: Tensor, k_BNTD: Tensor, v_BNTD: Tensor, mask: Tensor | None) -> Tensor:
    """The formula itself, in float32; heads before positions."""
    scores = q_BNQD.float() @ k_BNTD.float().transpose(-1, -2) / math.sqrt(q_BNQD.shape[-1])
    if mask is not None:
        scores = scores + as_bias(mask, scores.dtype)
    return (scores.softmax(-1) @ v_BNTD.float()).to(q_BNQD.dtype)


def is_short(q_BNQD: Tensor, k_BNTD: Tensor, v_BNTD: Tensor) -> bool:
    """Whether all scores of a bf16 pass on a CPU fit its caches.

    There two products are up to twice as fast as torch's attention, which computes in float32.
    """
    return (
        v_BNTD.dtype == torch.bfloat16
        and v_BNTD.device.type == "cpu"
        and q_BNQD.shape[2] * k_BNTD.shape[2] <= SHORT
        and not torch.compiler.is_compiling()  # code written for the machine has its own way
        and cpu_has_bf16()
    )


def attend_short(q_BNQD: Tensor, k_BNTD: Tensor, v_BNTD: Tensor, mask: Tensor | None) -> Tensor:
    """The formula in the precision of the values, by one product for the scores and one behind."""
    q = (q_BNQD * (1 / math.sqrt(q_BNQD.shape[-1]))).to(v_BNTD.dtype)
    scores = q @ k_BNTD.transpose(-1, -2)
    if mask is not None:
        scores = scores.add_(as_bias(mask, scores.dtype))
    return scores.softmax(-1) @ v_BNTD


def attend_xformers(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool = False
) -> Tensor:
    """xformers' memory-efficient attention; a bias is cut from a buffer padded to 8 keys."""
    from xformers.ops import memory_efficient_attention

    q, k = q.to(v.dtype), k.to(v.dtype)  # autocast leaves what was normed in float32
    bias = lower_triangular() if causal else None
    if mask is not None:
        batch, queries, heads, keys = *q.shape[:3], k.shape[1]
        padded = q.new_zeros(batch, heads, queries, -(-keys // 8) * 8)
        bias = padded[..., :keys].add_(as_bias(mask, q.dtype))
    return memory_efficient_attention(*(x.contiguous() for x in (q, k, v)), attn_bias=bias)


def attend_pieces(pieces: Sequence[Piece], backend: str = "sdpa") -> list[Tensor]:
    """Attention of each piece by itself, in order; lengths may differ, and nothing is padded.

    With xformers, pieces without a bias become one call on one packed sequence.
    """
    kinds = {p.causal for p in pieces}
    alike = len(pieces) > 1 and len(kinds) == 1 and all(p.bias is None for p in pieces)
    if backend == "xformers" and alike:
        return attend_packed(pieces, functools.partial(pack_xformers, causal=kinds.pop()))
    return [attend(p.q, p.k, p.v, p.bias, backend, p.causal) for p in pieces]


def attend_packed(pieces: Sequence[Piece], run: Any) -> list[Tensor]:
    """Lay all rows of all pieces end to end, attend once, and take them apart again.

    `run(q, k, v, query_lengths, key_lengths)` attends (1, sum of lengths, N, D) block by block.
    """
    heads, width = pieces[0].q.shape[2:]
    q, k, v = (
        torch.cat([getattr(piece, name).reshape(-1, heads, width) for piece in pieces])[None]
        for name in "qkv"
    )
    query_lengths = tuple(p.q.shape[1] for p in pieces for _ in range(p.q.shape[0]))
    key_lengths = tuple(p.k.shape[1] for p in pieces for _ in range(p.k.shape[0]))
    out = run(q, k, v, query_lengths, key_lengths)[0]
    parts = out.split([piece.q.shape[0] * piece.q.shape[1] for piece in pieces])
    return [part.view(piece.q.shape) for part, piece in zip(parts, pieces, strict=True)]


def pack_xformers(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    query_lengths: tuple[int, ...],
    key_lengths: tuple[int, ...],
    causal: bool = False,
) -> Tensor:
    """One call for all sequences, each of which sees itself alone."""
    from xformers.ops import memory_efficient_attention

    q, k = q.to(v.dtype), k.to(v.dtype)
    mask = block_diagonal(query_lengths, key_lengths, q.device, causal)
    return memory_efficient_attention(q, k, v, attn_bias=mask)


@functools.lru_cache(maxsize=64)
def block_diagonal(
    query_lengths: tuple[int, ...],
    key_lengths: tuple[int, ...],
    device: torch.device,
    causal: bool = False,
) -> Any:
    """xformers' mask of one block a sequence; made once for all layers and steps."""
    from xformers.ops.fmha import attn_bias

    mask = attn_bias.BlockDiagonalMask.from_seqlens(
        list(query_lengths), list(key_lengths), device=device
    )
    return mask.make_causal_from_bottomright() if causal else mask


def lower_triangular() -> Any:
    """xformers' causal mask, aligned at the last query and key."""
    from xformers.ops.fmha.attn_bias import LowerTriangularFromBottomRightMask

    return LowerTriangularFromBottomRightMask()


def as_bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where a boolean mask lets a query look and -inf elsewhere; a bias stays as it is."""
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    return torch.zeros_like(mask, dtype=dtype).masked_fill(~mask, -math.inf)


@functools.cache
def resolve_backend(name: str, device_type: str) -> str:
    """The backend that will really be used: `auto` is xformers on a GPU that has it, else sdpa.

    Raises `ValueError` for an unknown name. Where xformers is asked for and cannot run, one
    warning is logged and sdpa is used.
    """
    if name not in BACKENDS:
        raise ValueError(
            f"attention backend {name!r} is unknown; choose one of {', '.join(BACKENDS)}"
        )
    if name in ("sdpa", "math") or (name == "auto" and device_type != "cuda"):
        return "sdpa" if name == "auto" else name
    try:
        if device_type != "cuda":
            raise RuntimeError(f"it has no operator for {device_type}")
        from xformers.ops import memory_efficient_attention

        probe = torch.zeros(1, 8, 1, 16, dtype=torch.float16, device=device_type)
        memory_efficient_attention(probe, probe, probe)  # says so if it has no operator for it
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        level = logging.INFO if name == "auto" else logging.WARNING
        first_line = str(error).strip().partition("\n")[0]
        logger.log(level, "xformers attention is not available (%s); using sdpa", first_line)
        return "sdpa"
    return "xformers"


def rotary_table(rows_T: Tensor, cols_T: Tensor, head_width: int, base: float) -> Tensor:
    """2-D rotary positions as factors of x and of x with its halves exchanged, (2, ..., T, D).

    The first half of the pairs turns with the row, the second with the column (Su et al. 2021,
    per axis). Text puts its 1-D position on both.
    """
    quarter = head_width // 4
    exponents = torch.arange(quarter, device=rows_T.device, dtype=torch.float32) / quarter
    frequencies = base**-exponents
    angles = torch.cat([rows_T[..., None] * frequencies, cols_T[..., None] * frequencies], dim=-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1)])


def rotate(x: Tensor, table: Tensor) -> Tensor:
    """Turn queries or keys by their positions: x (..., D), `table` (2, ..., D) broadcasts to it."""
    straight, crossed = table
    a, b = x.chunk(2, dim=-1)
    return torch.addcmul(x * straight, torch.cat([b, a], dim=-1), crossed)
