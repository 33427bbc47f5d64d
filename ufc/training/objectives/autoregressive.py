"""Next code: each code told from the controls and the codes before it, M6's way to pretrain.

It shares the prefix of the masked codes' forward pass. Kept cells need nothing of their own: when
a picture is continued, what comes before a cell is known in any case.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ufc.model.prefix_cache import Prefix
from ufc.model.transformer import UFCTransformer
from ufc.training.config import TrainConfig
from ufc.training.objectives.base import Context, Log, Objective, register_objective
from ufc.training.objectives.masked_codes import Neighbours, joint_loss
from vqgan.quantizer import neighbours_by_book


@register_objective
class Autoregressive(Objective):
    """Next-code cross-entropy on `TrainConfig.autoregressive_share` of the samples."""

    name = "autoregressive"

    def __init__(self, config: TrainConfig, books_KVD: Tensor) -> None:
        super().__init__(config, books_KVD)
        if not 0 < config.autoregressive_share <= 1:
            raise ValueError(
                f"autoregressive_share is {config.autoregressive_share}, wanted more than 0, at "
                "most 1; without such samples leave the objective out"
            )
        self.neighbours = neighbours_by_book(books_KVD, max(1, config.alike_codes))

    def loss(self, context: Context) -> tuple[Tensor, Log]:
        """Parts are equally large, and so are their shares of a step's samples."""
        config, batch = self.config, context.batch
        rows = torch.tensor(share_of(len(batch.items), config.autoregressive_share))
        rows = rows.to(batch.codes_BT.device)
        found = next_codes(
            context.model,
            batch.codes_BT[rows],
            context.codes.prefix.take(rows),
            config.label_smoothing,
            self.neighbours,
            batch.grid,
        )
        loss = found.loss / config.gradient_accumulation_steps
        return loss, found.log | {"next_code_loss": loss.detach()}


@dataclass(frozen=True)
class NextCodes:
    """Mean loss over all cells, and what the log says of it."""

    loss: Tensor
    log: Log


def next_codes(
    model: UFCTransformer,
    codes_BT: Tensor,
    prefix: Prefix,
    label_smoothing: float,
    neighbours: Neighbours | None = None,
    grid: tuple[int, int] | None = None,
) -> NextCodes:
    """Cross-entropy of every cell of grids under their prefixes, smoothed as masked codes are."""
    hidden_BTD = model(codes_BT, prefix, causal=True, grid=grid).target
    states = model.code_states(hidden_BTD.flatten(0, 1))
    loss, correct_NK = joint_loss(states, codes_BT.flatten(), label_smoothing, neighbours)
    right_N = correct_NK.all(1)
    log = {"next_code_loss": loss.detach(), "next_code_accuracy": right_N.float().mean()}
    return NextCodes(loss, log)


def share_of(samples: int, share: float) -> list[int]:
    """The samples that take part, evenly spread, one at least.

    Halves of a batch have the same ones as the whole, where the share of them is a whole number.
    """
    ends = [math.floor(share * number + 1e-9) for number in range(samples + 1)]
    chosen = [at for at in range(samples) if ends[at + 1] > ends[at]]
    return chosen or [samples - 1]
