"""Masked words told by the sampler that fills masked blocks: predict all, keep the surest, again.

Words lie among the controls, so a prediction runs the controls of every canvas anew.

Shapes: B texts, M canvases, T slots, C control tokens, V text ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ufc.captioning.text_target import TextTarget
from ufc.model.transformer import UFCTransformer
from ufc.sampling.config import SamplerConfig
from ufc.sampling.generate import last_is_best
from ufc.sampling.guidance import make_prefix
from ufc.sampling.loop import Predict, Problem, refine

WORDS = SamplerConfig(order="maskgit", steps=8, temperature=0.0, choice_temperature=0.0)


@dataclass(frozen=True)
class ToldIds:
    """What the slots of a text hold now, and how sure each is, 0..1 (1 where it was known)."""

    ids: list[int]
    confidence: list[float]


@torch.no_grad()
def tell_words(
    model: UFCTransformer,
    targets: Sequence[TextTarget],
    config: SamplerConfig = WORDS,
    generators: Sequence[torch.Generator] | None = None,
) -> list[ToldIds]:
    """Fill the masked slots of texts.

    Raises:
        ValueError: the model's controls look at its target, so it tells no words.
    """
    if model.config.control_attention == "full":
        raise ValueError("a model with control_attention 'full' tells no words: use 'prefix'")
    mask = model.config.text_vocabulary
    most = max(len(target.slots) for target in targets)
    slots_BT = torch.full((len(targets), most), 0)
    known_BT = torch.ones(len(targets), most, dtype=torch.bool)  # padding counts as known
    for row, target in enumerate(targets):
        ids = torch.tensor(list(target.slots))
        slots_BT[row, : len(ids)] = ids
        known_BT[row, : len(ids)] = ids != mask
    device = model.embedding.weight.device
    problem = Problem(
        codes_BT=slots_BT.to(device),
        locked_BT=known_BT.to(device),
        codes=mask,
        generators=generators or [torch.Generator().manual_seed(0) for _ in targets],
        grid=(1, most),
    )
    canvas = refine(predict_words(model, targets), last_is_best(), problem, config).canvas
    codes, confidence = canvas.codes.tolist(), canvas.confidence.tolist()
    told = []
    for row, target in enumerate(targets):
        sure = [
            1.0 if known else value
            for known, value in zip(known_BT[row].tolist(), confidence[row], strict=True)
        ]
        told.append(ToldIds(codes[row][: len(target.slots)], sure[: len(target.slots)]))
    return told


def predict_words(model: UFCTransformer, targets: Sequence[TextTarget]) -> Predict:
    """The sampler's question, asked of the controls' own pass."""

    def predict(ids_MT: Tensor, owner_M: Tensor, ask_MT: Tensor) -> Tensor:
        owned = [targets[owner] for owner in owner_M.tolist()]
        rows = [
            target.item(ids[: len(target.slots)])
            for target, ids in zip(owned, ids_MT.tolist(), strict=True)
        ]
        hidden_MCD = make_prefix(model, rows).hidden_BCD
        assert hidden_MCD is not None
        asked_MC = torch.zeros(hidden_MCD.shape[:2], dtype=torch.bool, device=hidden_MCD.device)
        for row, target in enumerate(owned):
            first, slots = len(target.before), len(target.slots)
            asked_MC[row, first : first + slots] = ask_MT[row, :slots]
        return model.text_logits(hidden_MCD[asked_MC])

    return predict
