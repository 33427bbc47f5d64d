"""Where in a picture a word is: a probability for each block of a picture among the controls.

Shapes: B pictures, C control tokens, T blocks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ufc.conditioning.control_item import ControlItem
from ufc.model.transformer import UFCTransformer
from ufc.sampling.guidance import make_prefix


def block_logits(model: UFCTransformer, items: Sequence[ControlItem]) -> Tensor:
    """Of the first reference's blocks, about the words or not: (B, T); all of one shape.

    Raises:
        ValueError: the model has not learnt it.
    """
    if not model.config.grounding:
        raise ValueError("the model has not learnt where words are: train with a task of BOX")
    hidden_BCD = make_prefix(model, items).hidden_BCD
    assert hidden_BCD is not None
    rows = []
    for item, hidden_CD in zip(items, hidden_BCD, strict=True):
        first = len(item.text)
        rows.append(hidden_CD[first : first + item.references[0].numel()])
    logits_BT: Tensor = model.ground_head(torch.stack(rows)).squeeze(-1)
    return logits_BT


@torch.no_grad()
def block_probabilities(model: UFCTransformer, items: Sequence[ControlItem]) -> Tensor:
    """0..1 for each block of the pictures, (B, rows, columns)."""
    rows, columns = items[0].references[0].shape
    return block_logits(model, items).float().sigmoid().view(len(items), rows, columns)
