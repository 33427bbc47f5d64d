"""Known tokens of a call's pictures, and the codes of pictures that were encoded before."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ufc.conditioning.known_tokens import EditCanvas
from ufc_base.computing.inference import WeightWatch

MOST_ENCODED = 256  # pictures whose codes are held


def known_codes(
    edits: Sequence[EditCanvas], encode: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Known tokens and where they are, (B, T) each.

    Pictures whose codes are not known are encoded by `encode`, (1, 3, H, W) to (1, h, w).
    """
    locked = torch.stack([edit.locked_T for edit in edits])
    codes = torch.zeros(locked.shape, dtype=torch.int64)
    for row, edit in enumerate(edits):
        if edit.codes_T is not None:
            codes[row] = edit.codes_T
        elif edit.locked_T.any():
            codes[row] = encode(edit.erased_CHW[None]).flatten()
    return codes, locked


class EncodedPictures:
    """Codes of pictures by their content, so that equal ones are encoded once in a run.

    They are forgotten when the tokenizer's weights change: `watch` is its watch.
    """

    def __init__(self, watch: WeightWatch) -> None:
        self.watch = watch
        self.weights: object = None
        self.codes: dict[bytes, Tensor] = {}
        self.lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy begins with nothing."""
        return EncodedPictures, (self.watch,)

    def get(self, pixels_BCHW: Tensor, encode: Callable[[Tensor], Tensor]) -> Tensor:
        """What `encode` makes of these pixels, from the last time if they are the same."""
        tensors = list(self.watch.module.parameters())
        if any(weight.is_inference() for weight in tensors):
            return encode(pixels_BCHW)
        weights = self.watch.seen, [weight._version for weight in tensors]
        content = str(tuple(pixels_BCHW.shape)).encode() + pixels_BCHW.numpy().tobytes()
        key = hashlib.sha256(content).digest()
        with self.lock:
            if weights != self.weights:
                self.codes.clear()
                self.weights = weights
            codes = self.codes.get(key)
        if codes is None:
            codes = encode(pixels_BCHW)
            with self.lock:
                self.codes[key] = codes
                for old in list(self.codes)[:-MOST_ENCODED]:
                    del self.codes[old]
        return codes

    def clear(self) -> None:
        """Forget all: another device may encode otherwise."""
        with self.lock:
            self.codes.clear()
