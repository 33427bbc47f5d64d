"""How far an image is changed: blocks that nothing keeps, and whose code stays all the same.

Fewer blocks are then regenerated, in fewer steps, as masked-token models do image-to-image. What
stays is the code alone: pixels are decoded anew, and put back only where an edit keeps them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ufc.conditioning.known_tokens import EditCanvas


def stay_by_strength(
    codes_BT: Tensor,
    locked_BT: Tensor,
    edits: Sequence[EditCanvas],
    strength: float,
    generators: Sequence[torch.Generator],
    encode: Callable[[Tensor], Tensor],
) -> None:
    """Lock a share of 1 - `strength` of each edit's free blocks at their own codes, in place.

    Which ones is sampled from each picture's generator. An edit's own codes are known, or `encode`
    makes them of its picture, (1, 3, H, W) to (1, rows, columns).
    """
    for row, edit in enumerate(edits):
        if edit.codes_T is None and edit.whole_CHW is None:
            continue
        free_N = (~locked_BT[row]).nonzero().squeeze(1)
        count = round((1 - strength) * len(free_N))
        order = torch.randperm(len(free_N), generator=generators[row])
        if not count:
            continue
        own_T = edit.codes_T
        if own_T is None:
            assert edit.whole_CHW is not None
            own_T = encode(edit.whole_CHW[None]).flatten()
        stay_N = free_N[order[:count]]
        codes_BT[row, stay_N] = own_T[stay_N]
        locked_BT[row, stay_N] = True
