"""A block's arithmetic where nothing is learnt: the same numbers from fewer operations.

One grid is too small to fill a processor: at 64 cells and a width of 256 a third of a block's time
went into some thirty small operations around its four products. So, in float32, on a CPU and
without a gradient,

- the weights of an RMSNorm are multiplied into the products behind it; of the norm itself a length
  and a scale per token remain;
- weights lie transposed, as the product reads them, which counts where tokens are few;
- what is added behind a product is added by the product.

It costs a copy of the blocks' weights, which wide models, hardly faster for it, are spared.

Shapes: B batch, S tokens, D width, N heads, H width of a head, F feed-forward width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ufc.model.attention import rotate
from ufc_base.inference import is_untouched

if TYPE_CHECKING:
    from ufc.model.block import Block

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


def unit(x: Tensor) -> Tensor:
    """RMSNorm without weights and over sqrt(D): x / sqrt(sum of squares + D epsilon)."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x * length.square_().add_(x.shape[-1] * EPSILON).rsqrt_()


def is_lean(block: Block) -> bool:
    """Whether the block is dense, its layers torch's own, unheard of by hooks, not too wide."""
    if block.experts is not None:
        return False
    layers = block.qkv, block.out, block.gate_up, block.down
    norms = block.norm1, block.norm2, block.q_norm, block.k_norm
    return is_untouched(*layers, *norms) and block.qkv.in_features <= WIDEST


def make_lean(block: Block) -> LeanBlock:
    """The block in this form."""

    def transposed(linear: nn.Linear, norm: nn.RMSNorm | None = None) -> Tensor:
        weight = linear.weight.detach()
        if norm is not None:
            weight = weight * (norm.weight.detach() * weight.shape[1] ** 0.5)
        return weight.t().contiguous()

    scales = torch.stack([block.q_norm.weight, block.k_norm.weight]).detach()
    return LeanBlock(
        heads=block.heads,
        qkv_weight=transposed(block.qkv, block.norm1),
        qkv_bias=block.qkv.bias.detach(),
        qk_scale=scales[:, None] * block.head_width**0.5,
        out_weight=transposed(block.out),
        gate_up_weight=transposed(block.gate_up, block.norm2),
        down_weight=transposed(block.down),
    )
