"""Codes as a generator would choose them: some of a picture's exchanged for near ones.

A generator fills cells side by side, and neighbours do not always agree on the shade and texture
of what they share; a decoder that has only seen an encoder's codes shows each cell for itself. One
that has learnt from noisy codes makes one surface of them (compare Qiu et al. 2025, *Robust Latent
Matters*, where a tokenizer trained on perturbed codes generates better).

Shapes: B batch, H W grid, K codebooks, V codes of a codebook, n near ones.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vqgan.quantizer import neighbours_by_book

LEFT_ALONE = 0.25  # of the pictures


class CodeNoise:
    """Exchanges up to `share` of a picture's codes for one of their `neighbours` nearest."""

    def __init__(self, books_KVD: Tensor, share: float, neighbours: int) -> None:
        books, size, _ = books_KVD.shape
        near_CN, _ = neighbours_by_book(books_KVD, neighbours)
        first_C1 = torch.arange(books, device=near_CN.device).repeat_interleave(size)[:, None]
        self.near_CN = near_CN + first_C1 * size
        self.share = share

    def __call__(self, codes: Tensor, seed: int) -> Tensor:
        """Codes that count through the codebooks, (B, H, W) or (B, H, W, K), and as they become."""
        chance = torch.Generator().manual_seed(seed)
        one = (-1,) + (1,) * (codes.ndim - 1)
        u_B = torch.rand(len(codes), generator=chance)
        share_B = self.share * ((u_B - LEFT_ALONE) / (1 - LEFT_ALONE)).clamp(min=0)
        exchanged = torch.rand(codes.shape, generator=chance) < share_B.view(one)
        which = torch.randint(self.near_CN.shape[1], codes.shape, generator=chance)
        near = self.near_CN[codes, which.to(codes.device)]
        return torch.where(exchanged.to(codes.device), near, codes)
