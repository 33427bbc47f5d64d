"""Text told from pictures and words: captions, answers, words filled in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ufc.model.transformer import UFCTransformer
from ufc.sampling.guidance import make_prefix
from ufc.training.objectives.base import Context, Log, Objective, register_objective
from ufc.training.tasks.words import TaskSample


@register_objective
class TextTargets(Objective):
    """Cross-entropy of the masked words of a step's text tasks (`TrainConfig.tasks`)."""

    name = "text-targets"

    def loss(self, context: Context) -> tuple[Tensor, Log] | None:
        found = told_words(context.model, context.batch.text_tasks)
        if found is None:
            if not self.config.tasks:
                return None
            return 0.0 * context.model.text_bias.sum(), {}  # another process may have some
        loss = found.loss / self.config.gradient_accumulation_steps
        return loss, {"text_target_loss": loss.detach(), "text_target_accuracy": found.accuracy}


@dataclass(frozen=True)
class ToldWords:
    """Mean loss over the masked words, and the share of them told right."""

    loss: Tensor
    accuracy: Tensor


def told_words(model: UFCTransformer, samples: Sequence[TaskSample]) -> ToldWords | None:
    """What the model tells of the masked words of samples; None without any."""
    if not samples:
        return None
    hidden_BCD = make_prefix(model, [sample.item for sample in samples]).hidden_BCD
    if hidden_BCD is None:
        return None
    labels_BC = torch.full(hidden_BCD.shape[:2], -1, dtype=torch.int64)
    for row, sample in enumerate(samples):
        labels_BC[row, : len(sample.labels)] = torch.tensor(sample.labels, dtype=torch.int64)
    labels_BC = labels_BC.to(hidden_BCD.device)
    asked_BC = labels_BC >= 0
    logits, labels = model.text_logits(hidden_BCD[asked_BC]).float(), labels_BC[asked_BC]
    right = (logits.detach().argmax(-1) == labels).float().mean()
    return ToldWords(F.cross_entropy(logits, labels), right)
