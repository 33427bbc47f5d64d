"""Codes that a model has generated: pictures without an original, for the adversarial loss alone.

A decoder is trained on what an encoder gives and used on what a generator samples. Beside each
step's pictures it is given some of the latter, and the discriminator is to find nothing in them.

Shapes: N generated pictures, H W grid, K codebooks.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ufc_base.checkpoint import CheckpointError, read_safetensors
from vqgan.model import VQGAN


class GeneratedCodes:
    """Joint codes (N, H, W) of a file, of which some are drawn for each step.

    Raises:
        CheckpointError: there is no such file, or its codes are not of this tokenizer.
    """

    def __init__(self, file: str, model: VQGAN, count: int) -> None:
        codes_NHW = read_codes(file)
        config, grid = model.config, tuple(codes_NHW.shape[1:])
        if codes_NHW.min() < 0 or codes_NHW.max() >= config.codes or grid != config.grid_size:
            raise CheckpointError(
                f"{file}: codes {int(codes_NHW.min())} to {int(codes_NHW.max())} on {grid} blocks "
                f"(rows, columns), the tokenizer has 0 to {config.codes - 1} on {config.grid_size}"
            )
        self.codes = codes_NHW if config.codebooks == 1 else model.split(codes_NHW)
        self.count = count

    def some(self, seed: int, part: int = 0, of: int = 1) -> Tensor:
        """Of a step's `count` pictures those of one part: codes as the quantiser has them.

        (n, H, W), or with a K; the parts of a step are its processes' parts, told apart by `part`.
        """
        chance = torch.Generator().manual_seed(seed)
        drawn = torch.randint(len(self.codes), (self.count,), generator=chance)
        return self.codes[drawn[part * self.count // of : (part + 1) * self.count // of]]


def read_codes(file: str) -> Tensor:
    """The tensor `codes` (N, H, W) of a file, int64; raises as `GeneratedCodes` does."""
    codes = read_safetensors(Path(file)).get("codes")
    if codes is None or codes.ndim != 3 or not codes.numel() or codes.is_floating_point():
        found = "none" if codes is None else f"one of shape {tuple(codes.shape)}, {codes.dtype}"
        raise CheckpointError(
            f"{file}: wanted integers `codes` (pictures, rows, columns), found {found}; "
            "scripts/codes_of_pictures.py writes one"
        )
    return codes.long()
