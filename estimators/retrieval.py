"""Does a picture find its caption among others? R-precision and recall from two sets of embeddings.

R-precision (Xu et al. 2018, AttnGAN): each picture ranks its own caption among 99 others that read
differently; the share of pictures that put their own first. Recall is among all captions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

RIVALS = 99


def own_ranks(
    similarity_NN: Tensor, captions: Sequence[str], rivals: int = RIVALS, seed: int = 0
) -> Tensor:
    """Place of each picture's own caption among `rivals` that read differently, ties halved: (N,).

    0 is first. `similarity_NN[i, j]` says how well caption j fits picture i. With fewer different
    captions than `rivals`, all of them are used.

    Raises:
        ValueError: shapes do not fit, or all captions are equal.
    """
    if similarity_NN.shape != (len(captions), len(captions)) or len(set(captions)) < 2:
        raise ValueError(
            f"got similarities {tuple(similarity_NN.shape)} and {len(captions)} captions of which "
            f"{len(set(captions))} differ, wanted one row and column per caption and 2 different"
        )
    first: dict[str, int] = {}
    for index, caption in enumerate(captions):
        first.setdefault(caption, index)
    rng = np.random.default_rng(seed)
    ranks = torch.zeros(len(captions))
    for index, caption in enumerate(captions):
        others = [place for text, place in first.items() if text != caption]
        drawn = rng.permutation(others)[:rivals]
        row = similarity_NN[index]
        against = row[torch.from_numpy(drawn)]
        ranks[index] = (against > row[index]).sum() + 0.5 * (against == row[index]).sum()
    return ranks


def r_precision(ranks_N: Tensor) -> float:
    """Share of pictures that put their own caption first, 0..1; a tie for the first counts half."""
    return float((ranks_N < 0.25).float().mean() + 0.5 * (ranks_N == 0.5).float().mean())


def recall_at(similarity_NM: Tensor, right_NM: Tensor, k: int) -> float:
    """Share of rows with a right column among the k most similar, 0..1."""
    best = similarity_NM.topk(min(k, similarity_NM.shape[1]), dim=1).indices
    return float(right_NM.gather(1, best).any(1).float().mean())
