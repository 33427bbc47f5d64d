"""The two functions the sampler asks, made from a transformer and the controls of a batch.

Nothing is computed twice that need not be:

- controls are run once, and their keys and values serve all steps, candidates and both branches;
- candidates that are equal (all of them while everything is masked) are predicted once;
- the branches of guidance are one batch, and as the output layer is linear it is applied once, to
  the guided hidden state: W (h_u + g (h_c - h_u)) = l_u + g (l_c - l_u);
- the last block ends early: at the masked cells when predicting, at [REL] and [FDL] when scoring.

What is *not* shared is a score's pass and the next prediction's. The score is of the completed
canvas, and the prediction sees one with cells masked again: in every block each cell looks at all
others, so no hidden state of one pass is that of the other. Where nothing is masked again the two
are one pass, and then nothing is predicted either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ufc.conditioning.sequence import ControlItem, assemble
from ufc.model.code_head import prediction
from ufc.model.prefix_cache import Prefix, join
from ufc.model.transformer import UFCTransformer
from ufc.sampling.canvas import Scores
from ufc.sampling.loop import Predict, Score
from ufc.sampling.token_sampling import Alike, Prediction
from vqgan.quantizer import neighbours_by_book

ALIKE_CODES = 64
UNSEEN = ControlItem(references=[torch.zeros(1, 1, dtype=torch.int64)], weights=[0.0])


def alike_codes(books_KVD: Tensor, count: int = ALIKE_CODES) -> Alike:
    """For each code of each codebook those that look like it, and how much, 1 for itself."""
    indices, weights = neighbours_by_book(books_KVD, count)
    return indices, weights / weights[:, :1]


def make_prefix(model: UFCTransformer, items: Sequence[ControlItem]) -> Prefix:
    """Run the controls of a batch once."""
    device = model.embedding.weight.device
    if model.lockstep and all(item.empty for item in items):
        items = [UNSEEN, *items[1:]]
    return model.encode_controls(assemble(items, model.vocabulary).to(device))


def make_predict(
    model: UFCTransformer,
    prefix: Prefix,
    negative: Prefix | None,
    guidance_scale: float,
    grid: tuple[int, int],
) -> Predict:
    """Logits with classifier-free guidance: l = l_u + g (l_c - l_u) (Ho and Salimans 2022).

    `negative` is the branch without the controls (or under a negative prompt); it is skipped when
    it is None or g is 1.
    """
    guided = negative is not None and guidance_scale != 1
    images = len(prefix.lengths)
    take = remember_last(join(prefix, negative) if guided and negative is not None else prefix)

    def predict(codes_MT: Tensor, owner_M: Tensor, ask_MT: Tensor) -> Prediction:
        codes, owner, ask, places_N = without_doubles(codes_MT, owner_M, ask_MT)
        ask_N = ask.flatten().nonzero().squeeze(1)
        if guided:
            ask_N = torch.cat([ask_N, ask_N + codes.numel()])
            codes, owner = torch.cat([codes, codes]), torch.cat([owner, owner + images])
        hidden_ND = model(codes, take(owner), ask_N=ask_N, grid=grid).target
        if guided:
            half = len(hidden_ND) // 2
            hidden_ND = torch.lerp(hidden_ND[half:], hidden_ND[:half], guidance_scale)
        if places_N is not None:
            hidden_ND = hidden_ND[places_N]
        return prediction(model.code_states(hidden_ND))

    return predict


def make_score(model: UFCTransformer, prefix: Prefix, grid: tuple[int, int]) -> Score:
    """The model's own estimators on completed canvases, 0..1 each."""
    take = remember_last(prefix)

    def score(codes_MT: Tensor, owner_M: Tensor) -> Scores:
        nothing = codes_MT.new_empty(0)
        hidden = model(codes_MT, take(owner_M), scores=True, ask_N=nothing, grid=grid)
        return {name: logits.sigmoid() for name, logits in model.score_logits(hidden).items()}

    return score


def remember_last(prefix: Prefix) -> Callable[[Tensor], Prefix]:
    """`prefix.take`, done again only when other rows are asked for: steps ask for the same."""
    rows: list[int] = []
    taken = prefix

    def take(owner_M: Tensor) -> Prefix:
        nonlocal rows, taken
        if owner_M.tolist() != rows:
            rows, taken = owner_M.tolist(), prefix.take(owner_M)
        return taken

    return take


def without_doubles(
    codes_MT: Tensor, owner_M: Tensor, ask_MT: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """The canvases that differ, and where each asked cell's state is found among theirs, (N,).

    The last is None where all canvases differ. One image's canvases stand together.
    """
    rows_MX = torch.cat([owner_M[:, None], codes_MT, ask_MT.to(codes_MT.dtype)], dim=1)
    different, inverse_M = torch.unique_consecutive(rows_MX, dim=0, return_inverse=True)
    if len(different) == len(codes_MT):
        return codes_MT, owner_M, ask_MT, None
    cells = codes_MT.shape[1]
    codes, asks = different[:, 1 : 1 + cells], different[:, 1 + cells :].bool()
    # A running number for each asked cell, then each canvas takes those of the one it equals.
    numbers = (asks.flatten().cumsum(0) - 1).view_as(asks)
    return codes, different[:, 0], asks, numbers[inverse_M][ask_MT]
