"""A block of the transformer: attention and feed-forward part.

Shapes: B batch, S tokens, M tokens asked for, N heads, D width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ufc.model.attention import attend_pieces, rotate
from ufc.model.blocks.experts import Experts
from ufc.model.blocks.fused_block import Lean
from ufc.model.prefix_cache import KeysValues, Layout

if TYPE_CHECKING:
    from ufc.model.blocks.compiled_block import CompiledBlock
    from ufc.model.transformer import UFCConfig


class Block(nn.Module):
    """Attention and SwiGLU (or several, `Experts`), each behind an RMSNorm and with a skip."""

    def __init__(self, config: UFCConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.head_width = config.width // config.heads
        self.norm1 = nn.RMSNorm(config.width)
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.q_norm = nn.RMSNorm(self.head_width)
        self.k_norm = nn.RMSNorm(self.head_width)
        self.out = nn.Linear(config.width, config.width, bias=False)
        self.norm2 = nn.RMSNorm(config.width)
        self.experts: Experts | None = None
        if config.ffn == "moe":
            self.experts = Experts(
                config.width,
                config.feed_forward,
                config.experts,
                config.prototypes,
                config.capacity_factor,
            )
        else:
            self.gate_up = nn.Linear(config.width, 2 * config.feed_forward, bias=False)
            self.down = nn.Linear(config.feed_forward, config.width, bias=False)
        self.dropout = config.dropout

    def forward(
        self,
        x_BSD: Tensor,
        table: Tensor,
        layout: Layout,
        past: KeysValues | None,
        backend: str,
        only: Tensor | None = None,
        lean: Lean | CompiledBlock | None = None,
    ) -> tuple[Tensor, KeysValues]:
        """New hidden states (B, S, D), and this block's own keys and values.

        `only` is for the last block, which nothing follows: places in the flattened targets whose
        states are wanted, (M, D); or with scores, [REL] and [FDL] alone, (B, 2, D). `lean` does
        this block's arithmetic faster where there is one.
        """
        arithmetic = lean or self
        q, k, v = arithmetic.project(x_BSD, table)
        only_scores = only is not None and layout.scores
        pieces = layout.pieces(q, k, v, past, only_scores)
        mixed = layout.assemble(attend_pieces(pieces, backend), only_scores).flatten(2)
        x = x_BSD
        if only_scores:
            x = torch.stack([x[:, 0], x[:, -1]], dim=1)
        elif only is not None:
            x, mixed = (t[:, layout.inside :].flatten(0, 1)[only] for t in (x, mixed))
        if self.experts is not None and only is None:
            return self.finish(x, mixed, layout.present(x.shape[1])), (k, v)
        return arithmetic.finish(x, mixed), (k, v)

    def project(self, x_BSD: Tensor, table: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries and keys, normed and turned, and values: (B, S, N, D / N) each."""
        batch, length, _ = x_BSD.shape
        qkv = self.qkv(self.norm1(x_BSD)).view(batch, length, 3, self.heads, self.head_width)
        # Queries and keys are normed and turned together, where they lie.
        scale = torch.stack([self.q_norm.weight, self.k_norm.weight])[:, None]
        both = F.rms_norm(qkv[:, :, :2], (self.head_width,)) * scale
        q, k = rotate(both, table).unbind(2)
        return q, k, qkv[:, :, 2]

    def finish(self, x: Tensor, mixed: Tensor, present: Tensor | None = None) -> Tensor:
        """Behind the attention: output layer and feed-forward part, with what they are added to.

        Tokens that are not `present` (B, S) are padding, which takes no expert's time.
        """
        x = x + F.dropout(self.out(mixed), self.dropout, self.training)
        fed = self.feed(self.norm2(x), present)
        return x + F.dropout(fed, self.dropout, self.training)

    def feed(self, x: Tensor, present: Tensor | None) -> Tensor:
        if self.experts is not None:
            return self.experts(x, present)
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)
