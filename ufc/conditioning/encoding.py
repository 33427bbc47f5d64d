"""What a call's pictures give the transformer and the sampler to go by."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from PIL import Image
from torch import Tensor

from ufc.call_arguments import Asked
from ufc.conditioning.known_tokens import EditCanvas
from ufc.conditioning.sequence import ControlItem


def control_items(
    asked: Sequence[Asked],
    encode_text: Callable[[str | None, list[str], str], list[int]],
    encode: Callable[[Image.Image], Tensor],
) -> tuple[list[ControlItem], list[ControlItem], list[list[str]]]:
    """Control tokens of each picture, those of its negative branch, and its notices.

    Args:
        asked: the pictures; a reference that several share is encoded once.
        encode_text: words to ids, called with a list for notices and what the words are.
        encode: a picture to codes (rows, columns), of its own proportions.
    """
    known: dict[int, Tensor] = {}

    def reference_codes(picture: Image.Image) -> Tensor:
        if id(picture) not in known:
            known[id(picture)] = encode(picture)
        return known[id(picture)]

    items, negatives, notices = [], [], []
    for one in asked:
        told: list[str] = []
        used = [
            (picture, weight)
            for picture, weight in zip(one.references, one.reference_weights, strict=True)
            if weight > 0
        ]
        items.append(
            ControlItem(
                encode_text(one.prompt, told, "prompt"),
                [reference_codes(picture) for picture, _ in used],
                [weight for _, weight in used],
            )
        )
        negatives.append(ControlItem(encode_text(one.negative_prompt, told, "negative prompt")))
        notices.append(told)
    return items, negatives, notices


def kept_codes(
    edits: Sequence[EditCanvas], encode_pixels: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Codes of the kept blocks and which they are, (B, T) each.

    Pictures whose codes are not known are encoded by `encode_pixels`, (B, 3, H, W) to (B, h, w).
    """
    locked = torch.stack([edit.locked_T for edit in edits])
    codes = torch.zeros(locked.shape, dtype=torch.int64)
    known: dict[int, Tensor] = {}
    for row, edit in enumerate(edits):
        if edit.codes_T is not None:
            codes[row] = edit.codes_T
        elif edit.locked_T.any():
            if id(edit) not in known:
                known[id(edit)] = encode_pixels(edit.erased_CHW[None]).flatten()
            codes[row] = known[id(edit)]
    return codes, locked
