"""Masked codes: the second stage's main loss, and what else is told from its forward pass."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ufc.model.code_head import prediction
from ufc.model.transformer import UFCTransformer
from ufc.sampling.guidance import make_prefix
from ufc.sampling.token_sampling import Cells, logits_along
from ufc.training.batches import TrainBatch
from ufc.training.objectives.base import CodeLoss
from vqgan.quantizer import of_book, split_codes

Neighbours = tuple[Tensor, Tensor]


def code_loss(
    model: UFCTransformer,
    batch: TrainBatch,
    label_smoothing: float,
    neighbours: Neighbours | None = None,
    learn: bool = True,
) -> CodeLoss:
    """Cross-entropy on the masked target cells; of several codebooks the sum of theirs.

    Each codebook's codes are told from the true ones before them. With `neighbours` (see
    `vqgan.quantizer.neighbours_by_book`) a part of each label goes to codes that look nearly the
    same, so that choosing among them is not held against the model. Without `learn` the loss has
    no gradient; its prefix, which other objectives share, has one.
    """
    prefix = make_prefix(model, batch.items)
    blank_BT = batch.codes_BT.masked_fill(batch.masks_BT, model.config.codes)
    masked_N = batch.masks_BT.flatten().nonzero().squeeze(1)
    with torch.set_grad_enabled(learn and torch.is_grad_enabled()):
        found = model(blank_BT, prefix, grid=batch.grid, ask_N=masked_N)
        states = model.code_states(found.target)
        labels_N = batch.codes_BT[batch.masks_BT]
        loss, correct_NK = joint_loss(states, labels_N, label_smoothing, neighbours)
    if not learn:
        torch.clear_autocast_cache()  # of casts without a gradient, which others would take
    return CodeLoss(loss, prediction(states), correct_NK, prefix)


def joint_loss(
    cells: Cells, labels_N: Tensor, label_smoothing: float, neighbours: Neighbours | None
) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of joint codes, and which codes of which cell are told right, (N, K)."""
    losses, correct = [], []
    labels_NK = split_codes(labels_N, cells.size, cells.codebooks)
    for k, logits in enumerate(logits_along(cells, labels_NK)):
        logits_NV, own_N = logits.float(), labels_NK[:, k] - k * cells.size
        alike = None if neighbours is None else of_book(neighbours, k, cells.size)
        losses.append(soft_cross_entropy(logits_NV, own_N, label_smoothing, alike))
        correct.append(logits_NV.detach().argmax(-1) == own_N)
    return sum(losses[1:], losses[0]), torch.stack(correct, dim=1)


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

    Right is a cell with the right code of every codebook; where there are several,
    `accuracy_codebook_k` is the share of right codes of the k-th.

    A healthy model on a few thousand codes is right on 5 to 15 % of the cells when all are
    masked and on 20 to 40 % when few are.
    """
    sizes_B, correct_N = batch.masks_BT.sum(1), found.correct_NK.all(1)
    ratio_B = sizes_B / batch.masks_BT.shape[1]
    right_B = torch.stack([part.float().mean() for part in correct_N.split(sizes_B.tolist())])
    out: dict[str, Tensor] = {}
    if found.correct_NK.shape[1] > 1:
        each_K = found.correct_NK.float().mean(0)
        out |= {f"accuracy_codebook_{k}": share for k, share in enumerate(each_K)}
    for low, high in ((0.0, 0.35), (0.35, 0.7), (0.7, 1.01)):
        inside = (ratio_B >= low) & (ratio_B < high)
        if inside.any():
            out[f"accuracy_{low:.2f}"] = right_B[inside].mean()
    return out
