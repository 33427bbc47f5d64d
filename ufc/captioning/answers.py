"""Questions with a closed set of answers: the member that the masked slots make likeliest.

One forward pass tells every slot; an answer's logarithm of probability is the sum over its words
and the end behind them.

Shapes: B pictures, A answers, S slots, V text ids.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ufc.captioning.refine import predict_words
from ufc.captioning.text_target import TextTarget, with_end
from ufc.model.transformer import UFCTransformer


@torch.no_grad()
def answer_probabilities(
    model: UFCTransformer, targets: Sequence[TextTarget], answers: Sequence[list[int]], end: int
) -> Tensor:
    """How likely each answer (ids) is among all of them, (B, A); all slots are masked alike."""
    slots = len(targets[0].slots)
    mask = torch.full((len(targets), slots), model.config.text_vocabulary)
    owner_B = torch.arange(len(targets))
    logits = predict_words(model, targets)(mask, owner_B, torch.ones_like(mask, dtype=torch.bool))
    assert isinstance(logits, Tensor)
    log_p_BSV = logits.float().log_softmax(-1).view(len(targets), slots, -1)
    ids_AS = torch.tensor([with_end(ids, slots, end) for ids in answers], device=logits.device)
    length_A = torch.tensor([min(len(ids) + 1, slots) for ids in answers], device=logits.device)
    counted_AS = torch.arange(slots, device=logits.device) < length_A[:, None]
    each_BAS = log_p_BSV[:, None].expand(-1, len(answers), -1, -1).gather(
        3, ids_AS[None, :, :, None].expand(len(targets), -1, -1, 1)
    )[..., 0]  # fmt: skip
    return (each_BAS * counted_AS).sum(-1).softmax(-1)
