"""One attention function, three ways to compute it.

`xformers` is memory-efficient attention on a GPU; `sdpa` is torch's own, everywhere; `math` is the
plain formula in float32 that both are tested against.

Shapes: B batch, N heads, Q queries, T keys, D width of a head.
"""

from __future__ import annotations

import functools
import logging
import math

import torch
import torch.nn.functional as F
from torch import Tensor

BACKENDS = ("auto", "xformers", "sdpa", "math")

logger = logging.getLogger(__name__)


def attend(
    q_BNQD: Tensor, k_BNTD: Tensor, v_BNTD: Tensor, mask: Tensor | None, backend: str = "sdpa"
) -> Tensor:
    """softmax(q k' / sqrt(D)) v, (B, N, Q, D).

    `mask` is boolean, True where a query may look, or a bias added to the scores; it broadcasts
    to (B, 1, Q, T). A query must see at least one key.
    """
    if backend == "sdpa":
        return F.scaled_dot_product_attention(q_BNQD, k_BNTD, v_BNTD, attn_mask=mask)
    if backend == "xformers":
        return attend_xformers(q_BNQD, k_BNTD, v_BNTD, mask)
    return attend_math(q_BNQD, k_BNTD, v_BNTD, mask)


def attend_math(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """The formula itself, in float32."""
    scores = q.float() @ k.float().transpose(-1, -2) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores + as_bias(mask, scores.dtype)
    return (scores.softmax(-1) @ v.float()).to(q.dtype)


def attend_xformers(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """xformers' memory-efficient attention; a bias is cut from a buffer padded to 8 keys."""
    from xformers.ops import memory_efficient_attention

    bias = None
    if mask is not None:
        batch, heads, queries, keys = *q.shape[:3], k.shape[2]
        padded = q.new_zeros(batch, heads, queries, -(-keys // 8) * 8)
        bias = padded[..., :keys].add_(as_bias(mask, q.dtype))
    out = memory_efficient_attention(
        *(x.transpose(1, 2).contiguous() for x in (q, k, v)), attn_bias=bias
    )
    return out.transpose(1, 2)


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
        raise ValueError(f"attention backend {name!r} is unknown; choose one of {BACKENDS}")
    if name in ("sdpa", "math") or (name == "auto" and device_type != "cuda"):
        return "sdpa" if name == "auto" else name
    try:
        if device_type != "cuda":
            raise RuntimeError(f"it has no operator for {device_type}")
        import xformers.ops  # noqa: F401
    except (ImportError, OSError, RuntimeError) as error:
        level = logging.INFO if name == "auto" else logging.WARNING
        logger.log(level, "xformers attention is not available (%s); using sdpa", error)
        return "sdpa"
    return "xformers"


def rotary_table(rows_T: Tensor, cols_T: Tensor, head_width: int, base: float) -> Tensor:
    """Angles of 2-D rotary positions as (cos, sin), (2, ..., T, head_width / 2).

    The first half of the pairs turns with the row, the second with the column (Su et al. 2021,
    per axis). Text puts its 1-D position on both.
    """
    quarter = head_width // 4
    exponents = torch.arange(quarter, device=rows_T.device, dtype=torch.float32) / quarter
    frequencies = base**-exponents
    angles = torch.cat([rows_T[..., None] * frequencies, cols_T[..., None] * frequencies], dim=-1)
    return torch.stack([angles.cos(), angles.sin()])


def rotate(x_BNTD: Tensor, table: Tensor) -> Tensor:
    """Turn queries or keys by their positions; `table` is (2, T, D/2) or (2, B, 1, T, D/2)."""
    cos, sin = table.to(x_BNTD.dtype)
    a, b = x_BNTD.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)
