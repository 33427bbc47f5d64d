"""Which blocks of a picture words are about, learnt on collages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ufc.captioning.grounding import block_logits
from ufc.model.transformer import UFCTransformer
from ufc.training.objectives.base import Context, Log, Objective, register_objective
from ufc.training.objectives.text_targets import idle
from ufc.training.tasks.words import TaskSample


@register_objective
class GroundedBlocks(Objective):
    """Binary cross-entropy of each block of a step's collages (`TrainConfig.tasks`)."""

    name = "grounded-blocks"

    def loss(self, context: Context) -> tuple[Tensor, Log] | None:
        share, model = context.shares.boxes, context.model
        if not model.config.grounding:
            return None
        found = grounded_blocks(model, context.batch.box_tasks)
        if found is None or share is None:
            loss = idle(model, model.ground_head.parameters(), others=share is not None)
            return loss, {} if share is None else {"grounding_loss": loss.detach()}
        loss = share * found.loss
        log: Log = {"grounding_loss": loss.detach()}
        return loss, log if found.iou is None else log | {"grounding_iou": found.iou}


@dataclass(frozen=True)
class Grounded:
    """Mean loss over blocks, and intersection over union with the true blocks, meant over those
    samples that have some; None where none has."""

    loss: Tensor
    iou: Tensor | None


def grounded_blocks(model: UFCTransformer, samples: Sequence[TaskSample]) -> Grounded | None:
    """What the model says of the blocks of samples; None without any."""
    if not samples:
        return None
    logits_BT = block_logits(model, [sample.item for sample in samples]).float()
    truth_BT = torch.stack([s.blocks_T for s in samples if s.blocks_T is not None])
    truth_BT = truth_BT.to(logits_BT.device)
    loss = F.binary_cross_entropy_with_logits(logits_BT, truth_BT.float())
    iou = block_iou(logits_BT.detach() > 0, truth_BT) if truth_BT.any() else None
    return Grounded(loss, iou)


def block_iou(said_BT: Tensor, truth_BT: Tensor) -> Tensor:
    """Mean intersection over union of blocks, over rows with a true one; nan without such."""
    there_B = truth_BT.any(1)
    both = (said_BT & truth_BT).sum(1)[there_B]
    either = (said_BT | truth_BT).sum(1)[there_B]
    return (both / either.clamp_min(1)).float().mean()
