"""Sparse experts: their balance loss, and what the log says of how tokens were spread over them."""

from __future__ import annotations

import torch
from torch import Tensor

from ufc.model.blocks.experts import take_routing
from ufc.training.objectives.base import Context, Log, Objective, register_objective


@register_objective
class ExpertBalance(Objective):
    """The model's `balance_weight` times the balance loss, meant over blocks and passes.

    It comes last, after all passes of a step. A dense model has nothing to balance.
    """

    name = "experts"

    def loss(self, context: Context) -> tuple[Tensor, Log] | None:
        passes = take_routing(context.model)
        if not passes:
            return None
        balance = torch.stack([one.balance for one in passes]).mean()
        log = {
            "experts_balance": balance.detach(),
            "experts_imbalance": torch.stack([one.imbalance for one in passes]).mean(),
            "experts_dropped": torch.stack([one.dropped for one in passes]).mean(),
        }
        return context.model.config.balance_weight * context.shares.codes * balance, log
