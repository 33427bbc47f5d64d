"""Masked words: what the text is, told from what is left of it and from the reference images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ufc.model.prefix_cache import Prefix
from ufc.model.transformer import UFCTransformer
from ufc.training.objectives.base import Context, Log, Objective, register_objective


@register_objective
class MaskedWords(Objective):
    name = "masked-words"

    def loss(self, context: Context) -> tuple[Tensor, Log] | None:
        hidden_BCD = context.codes.prefix.hidden_BCD
        if context.shares.words is None or hidden_BCD is None:
            return None
        told = text_loss(context.model, context.codes.prefix, context.batch.text_labels)
        if told is None:  # another part has words: gradients of the same weights are exchanged
            told = 0.0 * (context.model.text_bias.sum() + hidden_BCD.sum())
        loss = context.shares.words * told
        return loss, {"text_loss": loss.detach()}


def text_loss(
    model: UFCTransformer, prefix: Prefix, text_labels: Sequence[list[int]]
) -> Tensor | None:
    """Cross-entropy on the masked words, which see the reference pictures; None if there are none.

    The states of the controls come from the prefix; with `control_attention="full"` there are
    none apart from a target, and no words are told.
    """
    hidden_BCD = prefix.hidden_BCD
    if hidden_BCD is None or not any(label >= 0 for labels in text_labels for label in labels):
        return None
    labels_BC = torch.full(hidden_BCD.shape[:2], -1, dtype=torch.int64)
    for row, labels in enumerate(text_labels):
        labels_BC[row, : len(labels)] = torch.tensor(labels, dtype=torch.int64)
    labels_BC = labels_BC.to(hidden_BCD.device)
    asked = labels_BC >= 0
    return F.cross_entropy(model.text_logits(hidden_BCD[asked]).float(), labels_BC[asked])
