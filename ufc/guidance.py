"""The two functions the sampler asks, made from a transformer and the controls of a batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ufc.controls import ControlItem, assemble
from ufc.sampler import Alike, Predict, Score
from ufc.transformer import Prefix, UFCTransformer
from vqgan.quantizer import code_neighbours

ALIKE_CODES = 64


def alike_codes(codebook_VD: Tensor, count: int = ALIKE_CODES) -> Alike:
    """For each code those that look like it, and how much, 1 for itself; see `sampler.draw`."""
    indices, weights = code_neighbours(codebook_VD, count)
    return indices, weights / weights[:, :1]


def make_prefix(model: UFCTransformer, items: Sequence[ControlItem]) -> Prefix:
    """Run the controls of a batch once."""
    device = model.embedding.weight.device
    return model.encode_controls(assemble(items, model.vocabulary).to(device))


def make_predict(
    model: UFCTransformer,
    prefix: Prefix,
    negative: Prefix | None,
    guidance_scale: float,
) -> Predict:
    """Logits with classifier-free guidance: l = l_u + g (l_c - l_u).

    `negative` is the branch without the controls (or under a negative prompt); it is skipped when
    it is None or g is 1.
    """

    def predict(codes_MT: Tensor, owner_M: Tensor, ask_MT: Tensor) -> Tensor:
        hidden = model(codes_MT, prefix.take(owner_M)).target
        logits = model.code_logits(hidden[ask_MT])
        if negative is None or guidance_scale == 1:
            return logits
        hidden = model(codes_MT, negative.take(owner_M)).target
        without = model.code_logits(hidden[ask_MT])
        return torch.lerp(without, logits, guidance_scale)

    return predict


def make_score(model: UFCTransformer, prefix: Prefix) -> Score:
    """Compliance and fidelity of completed canvases, in 0..1."""

    def score(codes_MT: Tensor, owner_M: Tensor) -> tuple[Tensor, Tensor]:
        hidden = model(codes_MT, prefix.take(owner_M), scores=True)
        compliance, fidelity = model.score_logits(hidden)
        return compliance.sigmoid(), fidelity.sigmoid()

    return score
