"""Pairs to learn from: a tokenizer's reconstructions, and the photographs at twice their size."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ufc_base.data.datasets import DataError, Pixels, as_float, as_uint8, batch_indices
from ufc_base.data.samples import Sample, Samples
from ufc_base.data.soundness import content_of
from ufc_base.training.kept_tensors import kept_tensors
from vqgan.model import VQGAN
from vqgan.training.augmentation import foreground_corners
from vqgan.upscaling.config import UpscalerTrainConfig
from vqgan.upscaling.model import SCALE

Pair = tuple[Tensor, Tensor]
Say = Callable[[str], None]
AT_ONCE = 16  # pictures that the tokenizer takes at a time


class Chosen:
    """Some samples of a set, by their indices."""

    def __init__(self, samples: Samples, indices: Sequence[int]) -> None:
        self.samples = samples
        self.indices = list(indices)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[self.indices[index]]

    def record(self, index: int) -> dict[str, Any]:
        return self.samples.record(self.indices[index])


class Pairs:
    """Reconstructions (N, 3, H, W) uint8, and the photographs that they are of."""

    def __init__(self, small_NCHW: Tensor, large: Pixels) -> None:
        self.small_NCHW = small_NCHW
        self.large = large

    def __len__(self) -> int:
        return len(self.small_NCHW)

    def batch(self, indices: Sequence[int], device: torch.device | None = None) -> Pair:
        """Both as float in -1..1, (B, 3, H, W) and (B, 3, 2 H, 2 W)."""
        small = as_float(self.small_NCHW[list(indices)].to(device))
        return small, self.large.batch(indices, device)

    @classmethod
    def build(
        cls, tokenizer: VQGAN, samples: Samples, file: Path, fit: str, say: Say = lambda line: None
    ) -> Pairs:
        """Those of the photographs that are large enough; made once, and kept in a file.

        Raises:
            DataError: none is.
        """
        height, width = (SCALE * side for side in tokenizer.config.size)
        kept = kept_tensors(
            file,
            pairs_key(tokenizer, samples, fit),
            lambda: reconstructions(tokenizer, samples, fit, say),
        )
        indices = kept["indices"].tolist()
        say(f"{len(indices)} of {len(samples)} pictures have {width} x {height} pixels or more")
        if not indices:
            raise DataError(
                f"none of {len(samples)} pictures has {width} x {height} pixels or more: an "
                "upscaler learns from photographs of twice the tokenizer's size"
            )
        return cls(kept["small"], Pixels(Chosen(samples, indices), (height, width), fit))


def pairs_key(tokenizer: VQGAN, samples: Samples, fit: str) -> str:
    """Digest of what the pairs depend on."""
    about = f"{len(samples)} {tokenizer.config.to_dict()} {fit} {content_of(samples)}"
    digest = hashlib.sha256(about.encode())
    for value in tokenizer.state_dict().values():
        digest.update(value.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


@torch.no_grad()
def reconstructions(tokenizer: VQGAN, samples: Samples, fit: str, say: Say) -> dict[str, Tensor]:
    """Which samples are large enough, and what a tokenizer makes of each, uint8 of its own size."""
    device = next(tokenizer.parameters()).device
    size = tokenizer.config.size
    indices: list[int] = []
    waiting: list[Tensor] = []
    made = [torch.empty(0, 3, *size, dtype=torch.uint8)]

    def reconstruct() -> None:
        if waiting:
            y = tokenizer.decode(tokenizer.encode(as_float(torch.stack(waiting).to(device))))
            made.append(((y.float().cpu() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8))
            waiting.clear()

    for index in range(len(samples)):
        image = samples[index].image
        if image.height >= SCALE * size[0] and image.width >= SCALE * size[1]:
            indices.append(index)
            waiting.append(as_uint8(image, size, fit))
        if len(waiting) == AT_ONCE:
            reconstruct()
            if len(indices) % (AT_ONCE * 20) == 0:
                say(f"{len(indices)} pictures reconstructed, once")
    reconstruct()
    return {"indices": torch.tensor(indices, dtype=torch.int64), "small": torch.cat(made)}


class Crops:
    """A step's crops, each of another picture: a function of the step."""

    def __init__(self, pairs: Pairs, config: UpscalerTrainConfig, places: range) -> None:
        self.pairs = pairs
        self.config = config
        self.places = places

    def __call__(self, step: int) -> Pair:
        """This process's part: (B, 3, c, c) of reconstructions, (B, 3, 2 c, 2 c) of photographs."""
        config = self.config
        batch = config.train_batch_size
        indices = batch_indices(len(self.pairs), batch, step, config.seed, self.places)
        generator = torch.Generator().manual_seed((config.seed << 32) + step)
        chances = torch.rand(batch, 5, generator=generator)[self.places.start : self.places.stop]
        crops = [
            self.crop(index, one) for index, one in zip(indices, chances.tolist(), strict=True)
        ]
        small, large = zip(*crops, strict=True)
        return as_float(torch.stack(small)), as_float(torch.stack(large))

    def crop(self, index: int, chances: Sequence[float]) -> Pair:
        """A crop of one picture, some mirrored, in both sizes, uint8."""
        small, large = self.pairs.small_NCHW[index], self.pairs.large.uint8(index)
        mirrored, foreground, at, down, across = chances
        side = self.config.crop_pixels
        if foreground < self.config.foreground_share:
            ((top, left),) = foreground_corners(as_float(small), side, [at])
        else:
            top = int(down * (small.shape[1] - side + 1))
            left = int(across * (small.shape[2] - side + 1))
        small = small[:, top : top + side, left : left + side]
        side, top, left = SCALE * side, SCALE * top, SCALE * left
        large = large[:, top : top + side, left : left + side]
        return (small.flip(-1), large.flip(-1)) if mirrored < 0.5 else (small, large)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """There is nothing to know but the step."""
