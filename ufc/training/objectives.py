"""The second stage's losses: masked codes, masked words, compliance, fidelity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ufc.conditioning.sequence import ControlItem
from ufc.model.transformer import Prefix, UFCTransformer
from ufc.sampling.guidance import make_prefix
from ufc.training.batches import TrainBatch
from ufc.training.masks import random_box, random_ratio_mask


@dataclass(frozen=True)
class CodeLoss:
    """Loss of masked codes, with what the log and the estimators' training reuse."""

    loss: Tensor
    logits_NV: Tensor
    correct_N: Tensor
    prefix: Prefix


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


@dataclass(frozen=True)
class EstimatorBatch:
    """Canvases with the truth about them; a label of -1 is not asked for."""

    codes_BT: Tensor
    items: list[ControlItem]
    compliance: Tensor
    fidelity: Tensor


def estimator_loss(
    model: UFCTransformer, batch: EstimatorBatch
) -> tuple[Tensor, Tensor, dict[str, float]]:
    """Binary cross-entropies of [REL] and [FDL], and their accuracies for the log."""
    hidden = model(batch.codes_BT, make_prefix(model, batch.items), scores=True)
    losses, log = [], {}
    for name, logits_B, labels_B in zip(
        ("compliance", "fidelity"),
        model.score_logits(hidden),
        (batch.compliance, batch.fidelity),
        strict=True,
    ):
        asked = labels_B >= 0
        logits, labels = logits_B[asked].float(), labels_B[asked].float()
        count = max(1, len(labels))  # a small share of a batch may have nothing to ask
        losses.append(F.binary_cross_entropy_with_logits(logits, labels, reduction="sum") / count)
        if len(labels):
            log[f"{name}_accuracy"] = float(((logits > 0) == (labels > 0.5)).float().mean())
    return losses[0], losses[1], log


@torch.no_grad()
def estimator_batch(
    batch: TrainBatch,
    logits_NV: Tensor,
    drawn_BT: Tensor,
    drawn_items: Sequence[ControlItem],
    vocabulary_mask: int,
    generator: torch.Generator,
    count: int,
) -> EstimatorBatch:
    """Right and wrong canvases from the first `count` samples of a step, four kinds of them.

    real with its own controls           compliance 1, fidelity 1
    real with wrong controls             compliance 0
    drawn by the model (`ufc.training.replay_buffer`)      fidelity 0
    real, with some of its cells wrong   fidelity 0, half as many: they are the easy ones

    Wrong controls are another sample's, or every other time where there is such a text the own
    ones with a text that is wrong in one thing. Wrong cells are another picture's, or the model's
    own one-shot fill; where chance made them right after all, nothing is asked. A quarter of the
    real ones, under own and wrong controls alike, are part-masked; of those only compliance is
    asked, or a masked cell would tell what is real: drawn pictures have none.
    """
    real_BT, items = batch.codes_BT[:count], batch.items[:count]
    device = real_BT.device
    near = (torch.rand(count, generator=generator) < 0.5).tolist()
    exchanged = [
        replace(item, text=rival) if rival and take else other
        for item, other, rival, take in zip(
            items, items[1:] + items[:1], batch.rivals[:count], near, strict=True
        )
    ]
    part = torch.rand(count, generator=generator) < 0.25
    hidden_cells = batch.masks_BT[:count] & part.to(device)[:, None]
    whole = [-1 if masked else 1 for masked in hidden_cells.any(1).tolist()]
    seen_BT = real_BT.masked_fill(hidden_cells, vocabulary_mask)
    few, quarter = count // 2, count // 4
    filled_BT = one_shot_fill(batch, logits_NV, generator)[:quarter]
    wrong_BT = torch.cat([filled_BT, corrupt(real_BT[quarter:few], batch.codes_BT, generator)])
    changed = (wrong_BT != real_BT[:few]).any(1).tolist()
    own = [-1 if item.empty else 1 for item in items]
    other = [0 if a is not b and not b.empty else -1 for a, b in zip(items, exchanged, strict=True)]
    unasked = len(drawn_items) + few
    fake = [*[0] * len(drawn_items), *(0 if wrong else -1 for wrong in changed)]
    return EstimatorBatch(
        codes_BT=torch.cat([seen_BT, seen_BT, drawn_BT.to(device), wrong_BT]),
        items=[*items, *exchanged, *drawn_items, *items[:few]],
        compliance=torch.tensor([*own, *other, *[-1] * unasked], device=device),
        fidelity=torch.tensor([*whole, *[-1] * count, *fake], device=device),
    )


def one_shot_fill(batch: TrainBatch, logits_NV: Tensor, generator: torch.Generator) -> Tensor:
    """The step's targets with the masked cells drawn from the model's own logits, (B, T)."""
    drawn_N = torch.multinomial(logits_NV.detach().softmax(-1).cpu(), 1, generator=generator)
    filled = batch.codes_BT.clone()
    filled[batch.masks_BT] = drawn_N.squeeze(1).to(filled.device)
    return filled


def corrupt(real_BT: Tensor, others_BT: Tensor, generator: torch.Generator) -> Tensor:
    """Real grids with 10 to 60 % of their cells, a box or scattered, from another picture."""
    count, cells = real_BT.shape
    grid = round(cells**0.5)
    wrong = real_BT.clone()
    for row in range(count):
        other = others_BT[int(torch.randint(len(others_BT), (), generator=generator))]
        if float(torch.rand((), generator=generator)) < 0.5:
            where = random_box(grid, generator).flatten()
        else:
            where = random_ratio_mask(cells, generator)
            where &= torch.rand(cells, generator=generator) < 0.6
        where = where.to(real_BT.device)
        wrong[row, where] = other[where]
    return wrong
