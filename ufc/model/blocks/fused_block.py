"""A block's arithmetic where nothing is learnt: the same numbers from fewer operations.

One grid is too small to fill a processor: at 64 cells and a width of 256 a third of a block's time
went into some thirty small operations around its four products. So, in float32, on a CPU and
without a gradient,

- the weights of an RMSNorm are multiplied into the products behind it; of the norm itself a length
  and a scale per token remain;
- weights lie transposed, as the product reads them, which counts where tokens are few;
- what is added behind a product is added by the product.

Where the layers multiply in 8 bits (`quantisation`), the first holds, and attention is in bf16 on
a processor that has it.

It costs a copy of the blocks' weights, which wide models, hardly faster for it, are spared.

Shapes: B batch, S tokens, D width, N heads, H width of a head, F feed-forward width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ufc.model.attention import rotate
from ufc.model.quantisation import Int8Linear, PackedLinear
from ufc_base.computing.inference import is_untouched
from ufc_base.computing.processor import cpu_has_bf16

if TYPE_CHECKING:
    from ufc.model.blocks.block import Block

# Beyond this width the products take nearly all of the time, and copies of them much memory.
WIDEST = 1024
EPSILON = torch.finfo(torch.float32).eps  # what nn.RMSNorm adds to the mean square


@dataclass(frozen=True)
class LeanBlock:
    """The weights of a block, ready to be multiplied with."""

    heads: int
    qkv_weight: Tensor  # (D, 3D)
    qkv_bias: Tensor
    qk_scale: Tensor  # (2, 1, H)
    out_weight: Tensor  # (D, D)
    gate_up_weight: Tensor  # (D, 2F)
    down_weight: Tensor  # (F, D)
    attention_dtype: torch.dtype = torch.float32  # of queries, keys and values

    def project(self, x_BSD: Tensor, table: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries and keys, normed and turned, and values: (B, S, N, H) each."""
        batch, length, width = x_BSD.shape
        qkv = torch.addmm(self.qkv_bias, unit(x_BSD.reshape(-1, width)), self.qkv_weight)
        qkv = qkv.view(batch, length, 3, self.heads, -1)
        q, k = rotate(unit(qkv[:, :, :2]).mul_(self.qk_scale), table).unbind(2)
        return q, k, qkv[:, :, 2]

    def finish(self, x: Tensor, mixed: Tensor) -> Tensor:
        """Behind the attention: output layer and feed-forward part, with what they are added to."""
        rows = x.reshape(-1, x.shape[-1])
        rows = torch.addmm(rows, mixed.reshape(rows.shape), self.out_weight)
        gate, up = torch.mm(unit(rows), self.gate_up_weight).chunk(2, dim=-1)
        return rows.addmm_(F.silu(gate).mul_(up), self.down_weight).view(x.shape)


@dataclass(frozen=True)
class LeanInt8Block:
    """The same of a block whose layers multiply in 8 bits; attention is in bf16 where that is fast.

    Their products take no sum along, and float32 alone.
    """

    heads: int
    qkv: PackedLinear
    qk_scale: Tensor  # (2, 1, H)
    out: PackedLinear
    gate_up: PackedLinear
    down: PackedLinear
    attention_dtype: torch.dtype

    def project(self, x_BSD: Tensor, table: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries and keys, normed and turned, and values: (B, S, N, H) each."""
        qkv = self.qkv(unit(x_BSD)).view(*x_BSD.shape[:2], 3, self.heads, -1)
        both = rotate(unit(qkv[:, :, :2]).mul_(self.qk_scale), table).to(self.attention_dtype)
        q, k = both.unbind(2)
        return q, k, qkv[:, :, 2].to(self.attention_dtype)

    def finish(self, x: Tensor, mixed: Tensor) -> Tensor:
        """Behind the attention: output layer and feed-forward part, with what they are added to."""
        rows = self.out(mixed.float()).add_(x)
        gate, up = self.gate_up(unit(rows)).chunk(2, dim=-1)
        return self.down(F.silu(gate).mul_(up)).add_(rows)


Lean = LeanBlock | LeanInt8Block


def unit(x: Tensor) -> Tensor:
    """RMSNorm without weights and over sqrt(D): x / sqrt(sum of squares + D epsilon)."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x * length.square_().add_(x.shape[-1] * EPSILON).rsqrt_()


def is_lean(block: Block) -> bool:
    """Whether the block is dense, not too wide, its layers of a known kind and without hooks."""
    if block.experts is not None or block.qkv.in_features > WIDEST:
        return False
    kind = Int8Linear if is_int8(block) else nn.Linear
    layers = block.qkv, block.out, block.gate_up, block.down
    norms = block.norm1, block.norm2, block.q_norm, block.k_norm
    return is_untouched(*layers, kinds=(kind,)) and is_untouched(*norms)


def is_int8(block: Block) -> bool:
    return type(block.qkv) is Int8Linear


def make_lean(block: Block) -> Lean:
    """The block in the form that its layers allow."""
    return make_lean_int8(block) if is_int8(block) else make_lean_exact(block)


def make_lean_exact(block: Block) -> LeanBlock:
    def transposed(linear: nn.Linear, norm: nn.RMSNorm | None = None) -> Tensor:
        weight = linear.weight.detach()
        return (weight if norm is None else weight * folded(norm)).t().contiguous()

    return LeanBlock(
        heads=block.heads,
        qkv_weight=transposed(block.qkv, block.norm1),
        qkv_bias=block.qkv.bias.detach(),
        qk_scale=scale_of_queries(block),
        out_weight=transposed(block.out),
        gate_up_weight=transposed(block.gate_up, block.norm2),
        down_weight=transposed(block.down),
    )


def make_lean_int8(block: Block) -> LeanInt8Block:
    qkv, out, gate_up, down = (
        cast(Int8Linear, layer) for layer in (block.qkv, block.out, block.gate_up, block.down)
    )
    return LeanInt8Block(
        heads=block.heads,
        qkv=qkv.pack(folded(block.norm1)),
        qk_scale=scale_of_queries(block),
        out=out.pack(),
        gate_up=gate_up.pack(folded(block.norm2)),
        down=down.pack(),
        attention_dtype=torch.bfloat16 if cpu_has_bf16() else torch.float32,
    )


def folded(norm: nn.RMSNorm) -> Tensor:
    """What remains of a norm behind `unit`, (D,): to be multiplied into the product behind it."""
    return norm.weight.detach() * norm.weight.shape[0] ** 0.5


def scale_of_queries(block: Block) -> Tensor:
    """What remains of the norms of queries and keys behind `unit`, (2, 1, H)."""
    scales = torch.stack([block.q_norm.weight, block.k_norm.weight]).detach()
    return scales[:, None] * block.head_width**0.5
