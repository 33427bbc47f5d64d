"""A block's arithmetic in training, in code that `torch.compile` writes for the machine.

On a CPU half of a step outside the matrix products goes by in passes over memory: norms, rotary
positions, the gate. Compiled they are one pass each, forwards and backwards.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ufc.model.blocks.block import Block


@dataclass(frozen=True)
class CompiledBlock:
    """`Block.project` and `Block.finish`, compiled once for all blocks, lengths and batches."""

    block: Block
    attention_dtype: torch.dtype = torch.float32  # of the keys and values of no controls

    def project(self, x_BSD: Tensor, table: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries and keys, normed and turned, and values: (B, S, N, H) each, of one precision."""
        result: tuple[Tensor, Tensor, Tensor] = compiled(project)(self.block, x_BSD, table)
        return result

    def finish(self, x: Tensor, mixed: Tensor) -> Tensor:
        """Behind the attention: output layer and feed-forward part, with what they are added to."""
        result: Tensor = compiled(Block.finish)(self.block, x, mixed)
        return result


def project(block: Block, x_BSD: Tensor, table: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`Block.project` with queries and keys in the precision of the values."""
    q, k, v = block.project(x_BSD, table)
    return q.to(v.dtype), k.to(v.dtype), v


@functools.cache
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as compiled for any number of samples and tokens; written when first called."""
    return torch.compile(function, dynamic=True)
