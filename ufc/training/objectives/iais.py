"""IAIS: what words are to one another, their patches should be, and the other way round.

Of the last block's attention over a caption and its own picture, the part from words to words
(A_LL) is compared with that from patches to patches (A_VV), carried over by the attention from
words to patches and back (Ren et al. 2021, "Learning Relation Alignment for Calibrated Cross-modal
Retrieval"). The distance is KL(P||Q) + KL(Q||P) over rows; `isd` of the log is its value for words.

The pass is that of controls, where words and a picture look at each other whatever a target sees.

Shapes: L words, V patches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ufc.conditioning.control_item import ControlItem
from ufc.conditioning.sequence import assemble
from ufc.model.transformer import UFCTransformer
from ufc.training.objectives.base import Context, Log, Objective, register_objective

SAMPLES = 8  # of a step
TINY = 1e-6


@register_objective
class IAIS(Objective):
    """The singular alignment of words and of patches, its weight ramped by exp(5 (t / T - 1))."""

    name = "iais"

    def loss(self, context: Context) -> tuple[Tensor, Log] | None:
        batch = context.batch
        grid = batch.grid or context.model.config.grid_size
        rows = [row for row, item in enumerate(batch.items) if len(item.text) > 1][:SAMPLES]
        if not rows:
            return None
        items = [
            ControlItem(batch.items[row].text, [batch.codes_BT[row].view(grid).cpu()])
            for row in rows
        ]
        found = [singular(parts) for parts in attention_parts(context.model, items)]
        words = torch.stack([one[0] for one in found]).mean()
        patches = torch.stack([one[1] for one in found]).mean()
        ramp = math.exp(5 * (context.progress - 1))
        loss = ramp * (words + patches) / self.config.gradient_accumulation_steps
        return loss, {"isd": words.detach()}


@dataclass(frozen=True)
class Parts:
    """Attention of one sample, rows normalised: within words and patches, and across."""

    words_LL: Tensor
    patches_VV: Tensor
    across_LV: Tensor
    back_VL: Tensor


def attention_parts(model: UFCTransformer, items: list[ControlItem]) -> list[Parts]:
    """The last block's attention, a mean over heads, of texts with one picture each.

    Raises:
        ValueError: the model's controls are not run by themselves.
    """
    if model.config.control_attention == "full":
        raise ValueError("iais needs control_attention 'prefix', got 'full'")
    controls = assemble(items, model.vocabulary).to(model.embedding.weight.device)
    parts = []
    for item, whole_CC in zip(items, model.last_attention(controls), strict=True):
        words, patches = len(item.text), item.references[0].numel()
        text, picture = slice(0, words), slice(words, words + patches)
        parts.append(
            Parts(
                *(
                    normalised(whole_CC[row, column])
                    for row, column in (
                        (text, text),
                        (picture, picture),
                        (text, picture),
                        (picture, text),
                    )
                )
            )
        )
    return parts


def normalised(part: Tensor) -> Tensor:
    return part / part.sum(-1, keepdim=True).clamp_min(TINY)


def singular(parts: Parts) -> tuple[Tensor, Tensor]:
    """Distances of words and of patches: each word stands for the patch that it looks at most."""
    patch_of_L = parts.across_LV.detach().argmax(1)
    word_of_V = parts.back_VL.detach().argmax(1)
    carried_LL = parts.patches_VV[patch_of_L][:, patch_of_L].softmax(-1)
    carried_VV = parts.words_LL[word_of_V][:, word_of_V].softmax(-1)
    return distance(parts.words_LL, carried_LL), distance(parts.patches_VV, carried_VV)


def distributed(parts: Parts) -> tuple[Tensor, Tensor]:
    """The same with every patch that a word looks at, by how much."""
    words = distance(parts.words_LL, parts.across_LV @ parts.back_VL)
    return words, distance(parts.patches_VV, parts.back_VL @ parts.across_LV)


def distance(p: Tensor, q: Tensor) -> Tensor:
    """KL(p||q) + KL(q||p) of rows of probabilities, a mean over rows."""
    p, q = p + TINY, q + TINY
    return ((p - q) * (p.log() - q.log())).sum(-1).mean()
