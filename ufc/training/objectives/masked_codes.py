"""Masked codes: the second stage's main loss, and what else is told from its forward pass."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ufc.model.transformer import UFCTransformer
from ufc.sampling.guidance import make_prefix
from ufc.training.batches import TrainBatch
from ufc.training.objectives.base import CodeLoss

Neighbours = tuple[Tensor, Tensor]


def code_loss(
    model: UFCTransformer,
    batch: TrainBatch,
    label_smoothing: float,
    neighbours: Neighbours | None = None,
) -> CodeLoss:
    """Cross-entropy on the masked target cells.

    With `neighbours` (see `vqgan.quantizer.code_neighbours`) a part of each label goes to codes
    that look nearly the same, so that choosing among them is not held against the model.
    """
    prefix = make_prefix(model, batch.items)
    blank_BT = batch.codes_BT.masked_fill(batch.masks_BT, model.config.codes)
    masked_N = batch.masks_BT.flatten().nonzero().squeeze(1)
    logits_NV = model.code_logits(model(blank_BT, prefix, ask_N=masked_N).target).float()
    labels_N = batch.codes_BT[batch.masks_BT]
    loss = soft_cross_entropy(logits_NV, labels_N, label_smoothing, neighbours)
    return CodeLoss(loss, logits_NV, logits_NV.detach().argmax(-1) == labels_N, prefix)


def soft_cross_entropy(
    logits_NV: Tensor, labels_N: Tensor, label_smoothing: float, neighbours: Neighbours | None
) -> Tensor:
    """Mean cross-entropy with uniform smoothing, and smoothing among alike codes if given."""
    if neighbours is None:
        return F.cross_entropy(logits_NV, labels_N, label_smoothing=label_smoothing)
    indices_VK, weights_VK = neighbours
    log_p_NV = logits_NV.log_softmax(-1)
    alike_NK = log_p_NV.gather(1, indices_VK[labels_N])
    loss = -(weights_VK[labels_N] * alike_NK).sum(-1).mean()
    return (1 - label_smoothing) * loss - label_smoothing * log_p_NV.mean()


def accuracy_by_ratio(batch: TrainBatch, found: CodeLoss) -> dict[str, Tensor]:
    """Share of masked cells told right, by how much of the picture was masked.

    A healthy model on a few thousand codes is right on 5 to 15 % of the cells when all are
    masked and on 20 to 40 % when few are.
    """
    sizes_B = batch.masks_BT.sum(1)
    ratio_B = sizes_B / batch.masks_BT.shape[1]
    right_B = torch.stack([part.float().mean() for part in found.correct_N.split(sizes_B.tolist())])
    out: dict[str, Tensor] = {}
    for low, high in ((0.0, 0.35), (0.35, 0.7), (0.7, 1.01)):
        inside = (ratio_B >= low) & (ratio_B < high)
        if inside.any():
            out[f"accuracy_{low:.2f}"] = right_B[inside].mean()
    return out
