"""Text told from pictures and words: captions, answers, words filled in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ufc.conditioning.control_item import ControlItem
from ufc.model.transformer import UFCTransformer
from ufc.sampling.guidance import make_prefix
from ufc.training.objectives.base import Context, Log, Objective, register_objective
from ufc.training.tasks.words import TaskSample


@register_objective
class TextTargets(Objective):
    """Cross-entropy of the masked words of a step's text tasks (`TrainConfig.tasks`)."""

    name = "text-targets"

    def loss(self, context: Context) -> tuple[Tensor, Log] | None:
        share, model = context.shares.told, context.model
        found = told_words(model, context.batch.text_tasks)
        if found is None or share is None:
            loss = idle(model, [model.text_bias], others=share is not None)
            return loss, {} if share is None else {"text_target_loss": loss.detach()}
        loss = share * found.loss
        log: Log = {"text_target_loss": loss.detach()}
        if found.accuracy is not None:
            log["text_target_accuracy"] = found.accuracy
        return loss, log


@dataclass(frozen=True)
class ToldWords:
    """Mean loss over the masked slots, and the share told right of those with words or the first
    end; None where only slots behind an end are masked."""

    loss: Tensor
    accuracy: Tensor | None


def told_words(model: UFCTransformer, samples: Sequence[TaskSample]) -> ToldWords | None:
    """What the model tells of the masked words of samples; None without any."""
    if not samples:
        return None
    hidden_BCD = make_prefix(model, [sample.item for sample in samples]).hidden_BCD
    if hidden_BCD is None:
        return None
    labels_BC = torch.full(hidden_BCD.shape[:2], -1, dtype=torch.int64)
    spoken_BC = torch.zeros(hidden_BCD.shape[:2], dtype=torch.bool)
    for row, sample in enumerate(samples):
        labels_BC[row, : len(sample.labels)] = torch.tensor(sample.labels, dtype=torch.int64)
        spoken_BC[row, : sample.spoken] = True
    labels_BC, spoken_BC = labels_BC.to(hidden_BCD.device), spoken_BC.to(hidden_BCD.device)
    asked_BC = labels_BC >= 0
    logits, labels = model.text_logits(hidden_BCD[asked_BC]).float(), labels_BC[asked_BC]
    right = (logits.detach().argmax(-1) == labels)[spoken_BC[asked_BC]]
    accuracy = right.float().mean() if len(right) else None
    return ToldWords(F.cross_entropy(logits, labels), accuracy)


def idle(model: UFCTransformer, weights: Iterable[Tensor], others: bool) -> Tensor:
    """A loss of 0 for a part without samples of a task, which reaches the weights as theirs does.

    Where `others` have some, a model in lockstep runs the controls as they do.
    """
    nothing = 0.0 * torch.stack([weight.sum() for weight in weights]).sum()
    if not (model.lockstep and others):
        return nothing
    hidden_BCD = make_prefix(model, [ControlItem()]).hidden_BCD  # in lockstep of an unseen one
    return nothing if hidden_BCD is None else nothing + 0.0 * hidden_BCD.sum()
