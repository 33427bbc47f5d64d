"""The controls of a call's pictures as the transformer and the sampler take them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from PIL import Image
from torch import Tensor

from ufc.conditioning.conditioning import Conditioning
from ufc.conditioning.control_item import ControlItem, join_items
from ufc.conditioning.controls import CONTROLS, Encoders
from ufc.conditioning.known_tokens import EditCanvas


def control_items(
    given: Sequence[Conditioning],
    encode_text: Callable[[str | None, list[str], str], list[int]],
    encode_picture: Callable[[Image.Image], Tensor],
) -> tuple[list[ControlItem], list[ControlItem], list[list[str]]]:
    """Control tokens of each picture, those of its negative branch, and its notices.

    Args:
        given: the pictures' conditioning; equal pictures among them are encoded once.
        encode_text: words to ids, called with a list for notices and what the words are.
        encode_picture: a picture to codes (rows, columns), of its own proportions.
    """
    known: dict[tuple[tuple[int, int], bytes], Tensor] = {}

    def codes_of(picture: Image.Image) -> Tensor:
        key = picture.size, picture.tobytes()
        if key not in known:
            known[key] = encode_picture(picture)
        return known[key]

    def words(said: list[str], name: str, text: str) -> list[int]:
        return encode_text(text, said, name)

    items, negatives, notices = [], [], []
    for one in given:
        said: list[str] = []
        parts = [
            control.tokens(one, Encoders(partial(words, said, name), codes_of))
            for name, control in CONTROLS.items()
        ]
        items.append(join_items(parts))
        negatives.append(ControlItem(encode_text(one.negative_prompt, said, "negative prompt")))
        notices.append(said)
    return items, negatives, notices


def known_codes(
    edits: Sequence[EditCanvas], encode_pixels: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Known tokens and where they are, (B, T) each.

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
