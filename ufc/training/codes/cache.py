"""The codes of a training set, computed once: pictures, mirrored ones and augmented references."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor

from ufc_base.data.datasets import Pixels
from ufc_base.data.soundness import content_of
from ufc_base.training.kept_tensors import kept_tensors
from vqgan.model import VQGAN


class CodeCache:
    """Codes of every picture: as it is, flipped, and augmented `augmentations` times.

    Kept in one safetensors file beside the run, under a key of tokenizer and data; as int16, or
    int32 or int64 where there are more codes than that can count.
    """

    def __init__(self, codes_NVT: Tensor, grid: tuple[int, int]) -> None:
        self.codes_NVT = codes_NVT
        self.grid = grid

    def target(self, index: int, flipped: bool) -> Tensor:
        """Codes of a picture (T,) int64."""
        return self.codes_NVT[index, int(flipped)].long()

    def reference(self, index: int, variant: int) -> Tensor:
        """Codes of one of its augmented versions, (h, w) int64."""
        return self.codes_NVT[index, 2 + variant].long().view(self.grid)

    @property
    def augmentations(self) -> int:
        return self.codes_NVT.shape[1] - 2

    @classmethod
    def build(
        cls,
        tokenizer: VQGAN,
        pixels: Pixels,
        file: str | PathLike[str],
        *,
        augmentations: int,
        seed: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> CodeCache:
        """Read the cache if it is there, sound and of this set, else encode the set and write it.

        `progress` is told how many pictures are done, of how many.
        """
        kept = kept_tensors(
            Path(file),
            cache_key(tokenizer, pixels, f"{augmentations} {seed}"),
            lambda: {"codes": encode_all(tokenizer, pixels, augmentations, seed, progress)},
        )
        return cls(kept["codes"], tokenizer.config.grid_size)


def cache_key(tokenizer: VQGAN, pixels: Pixels, further: str) -> str:
    """Digest of what the codes depend on."""
    about = f"{len(pixels)} {pixels.size} {pixels.fit} {further}"
    digest = hashlib.sha256(about.encode())
    digest.update(content_of(pixels.samples).encode())
    for name, value in tokenizer.state_dict().items():
        if not name.startswith(("decoder.", "post_quant_conv.")):
            digest.update(value.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


@torch.no_grad()
def encode_all(
    tokenizer: VQGAN,
    pixels: Pixels,
    augmentations: int,
    seed: int,
    progress: Callable[[int, int], None] | None,
    batch_size: int = 64,
) -> Tensor:
    """Codes of a set, (N, 2 + augmentations, T) of `dtype_of` their number."""
    device = next(tokenizer.parameters()).device
    augment = reference_augmentation() if augmentations else None
    dtype = dtype_of(tokenizer.config.codes)
    cells = math.prod(tokenizer.config.grid_size)
    out = torch.empty(len(pixels), 2 + augmentations, cells, dtype=dtype)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for start in range(0, len(pixels), batch_size):
            rows = range(start, min(start + batch_size, len(pixels)))
            x = pixels.batch(rows)
            variants = [x, x.flip(-1)] + [augment(x) for _ in range(augmentations) if augment]
            for place, variant in enumerate(variants):
                codes = tokenizer.encode(variant.to(device)).flatten(1)
                out[rows.start : rows.stop, place] = codes.to(dtype).cpu()
            if progress is not None:
                progress(rows.stop, len(pixels))
    return out


def dtype_of(codes: int) -> torch.dtype:
    """The narrowest of int16, int32 and int64 that counts so many codes."""
    counting = torch.int16, torch.int32, torch.int64
    return next(dtype for dtype in counting if codes - 1 <= torch.iinfo(dtype).max)


def reference_augmentation() -> Callable[[Tensor], Tensor]:
    """Crops, flips, small turns and shifts by kornia; colours stay, they are to be carried over."""
    import kornia.augmentation as aug

    flip = aug.RandomHorizontalFlip(p=0.5)
    turn = aug.RandomAffine(degrees=10.0, translate=(0.08, 0.08), scale=(0.8, 1.15), p=0.8)

    def augment(x_BCHW: Tensor) -> Tensor:
        size = (x_BCHW.shape[-2], x_BCHW.shape[-1])
        crop = aug.RandomResizedCrop(size, scale=(0.5, 1.0), ratio=(0.8, 1.25), p=0.7)
        # Product pictures lie on white: shift the range so that the fill, 0, is white.
        return 1 - turn(crop(flip(1 - x_BCHW)))

    return augment
