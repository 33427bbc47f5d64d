"""Chance in the first stage's training: what a step shows of its pictures.

All of it is a function of the step and the place in the batch, so a resumed run and one of several
processes see what an unbroken one would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from vqgan.training.config import TokenizerTrainConfig

FOREGROUND_BELOW = 0.9  # of the darkest channel in -1..1; the data's backgrounds are white


def augmented(x: Tensor, config: TokenizerTrainConfig, places: range, step: int) -> Tensor:
    """This process's pictures (B, 3, H, W) of a step as they are shown.

    In a share of the steps they are crops: as many of each picture as have its number of pixels.
    """
    size = config.train_batch_size
    generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
    x = varied(x, size, places, generator, config.shift_pixels)
    if config.colour_jitter:
        x = recoloured(x, size, places, generator, config.colour_jitter)
    if config.crop_pixels and torch.rand((), generator=generator) < config.crop_share:
        x = foreground_crops(x, size, places, generator, config.crop_pixels)
    return x


def varied(
    x: Tensor, batch_size: int, places: range, generator: torch.Generator, shift: int
) -> Tensor:
    """Some pictures mirrored, all moved by up to `shift` pixels, by place in the batch.

    What a picture moves away from is its border pixels, repeated.
    """
    own = slice(places.start, places.stop)
    flip_B = torch.rand(batch_size, generator=generator)[own] < 0.5
    x = torch.where(flip_B.to(x.device)[:, None, None, None], x.flip(-1), x)
    if not shift:
        return x
    corners = torch.randint(2 * shift + 1, (batch_size, 2), generator=generator)[own].tolist()
    height, width = x.shape[-2:]
    padded = F.pad(x, (shift,) * 4, mode="replicate")
    return torch.stack(
        [
            picture[:, top : top + height, left : left + width]
            for picture, (top, left) in zip(padded, corners, strict=True)
        ]
    )


def recoloured(
    x: Tensor, batch_size: int, places: range, generator: torch.Generator, share: float
) -> Tensor:
    """Saturation and each channel's darkness changed by up to `share`; white stays white."""
    own = slice(places.start, places.stop)
    factors = 1 + share * (2 * torch.rand(batch_size, 4, generator=generator)[own] - 1)
    saturation, channels = factors.to(x.device).view(-1, 4, 1, 1).split([1, 3], dim=1)
    grey = x.mean(1, keepdim=True)
    return (1 - (1 - (grey + saturation * (x - grey))) * channels).clamp(-1, 1)


def foreground_crops(
    x: Tensor, batch_size: int, places: range, generator: torch.Generator, side: int
) -> Tensor:
    """Squares of `side` pixels whose middle is a pixel of the foreground, (N, 3, side, side)."""
    height, width = x.shape[-2:]
    each = max(1, height * width // side**2)
    chance_BE = torch.rand(batch_size, each, generator=generator)[places.start : places.stop]
    crops = [
        picture[:, top : top + side, left : left + side]
        for picture, chances in zip(x, chance_BE.tolist(), strict=True)
        for top, left in foreground_corners(picture, side, chances)
    ]
    return torch.stack(crops)


def foreground_corners(
    picture_CHW: Tensor, side: int, chances: Sequence[float]
) -> list[tuple[int, int]]:
    """Upper left corners of squares around foreground pixels, one chosen by each chance, 0..1."""
    height, width = picture_CHW.shape[-2:]
    foreground = (picture_CHW.amin(0) < FOREGROUND_BELOW).flatten().nonzero().flatten()
    corners = []
    for at in chances:
        place = height * width // 2 + width // 2
        if len(foreground):
            place = int(foreground[int(at * len(foreground))])
        top = min(max(0, place // width - side // 2), height - side)
        left = min(max(0, place % width - side // 2), width - side)
        corners.append((top, left))
    return corners
