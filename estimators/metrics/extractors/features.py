"""Deep features of pictures: what a pretrained network makes of them.

Every picture is brought to the network's square by itself, so nothing depends on which pictures
share a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from estimators.metrics.extractors.networks import Extractor
from ufc_base.computing.thread_pool import temporary_thread_pool
from ufc_base.data.datasets import as_uint8
from ufc_base.images import fit_square, to_tensor

Features = NDArray[np.float32]
Mode = Literal["clean", "legacy"]
Size = int | tuple[int, int]  # a square's side, or (height, width)

MODES: tuple[str, ...] = get_args(Mode)


def fitted(image: Image.Image, size: Size, fit: str = "pad") -> Image.Image:
    """A picture at a model's size: a side, or (height, width); `fit` as in `as_uint8`."""
    return Image.fromarray(as_uint8(image, size, fit).permute(1, 2, 0).numpy())


def resize_clean(image: Image.Image, size: int, pad: bool = False) -> Tensor:
    """Stretched to a square, antialiased: (3 H W), -1..1; `pad` fills it up with white instead.

    As clean-fid does it (Parmar et al. 2022): bicubic on float channels, not rounded in between.
    """
    picture = _whole(image, pad)
    if picture.size == (size, size):
        return to_tensor(picture)[0]
    shape = (size, size)
    channels = [
        np.asarray(channel.convert("F").resize(shape, Image.Resampling.BICUBIC))
        for channel in picture.split()
    ]
    return torch.from_numpy(np.stack(channels).clip(0, 255)) / 127.5 - 1


def resize_legacy(image: Image.Image, size: int, pad: bool = False) -> Tensor:
    """Stretched to a square without antialiasing: (3 H W), -1..1; `pad` as in `resize_clean`.

    Bilinear, as pytorch-fid does it: for figures that must compare with older ones.
    """
    picture = to_tensor(_whole(image, pad))
    return F.interpolate(picture, size=(size, size), mode="bilinear", align_corners=False)[0]


def _whole(image: Image.Image, pad: bool) -> Image.Image:
    return fit_square(image, max(image.size)) if pad else image.convert("RGB")


@torch.inference_mode()
def extract(
    extractor: Extractor,
    images: Iterable[Image.Image],
    *,
    size: Size | None = None,
    fit: str = "pad",
    mode: str = "clean",
    pad: bool = False,
    batch_size: int | None = None,
    num_workers: int = 0,
    on_batch: Callable[[int], None] | None = None,
) -> Features:
    """Features of pictures of any size, float32 (N F), in their order.

    Args:
        extractor: the network.
        images: pictures of any mode; one batch of them is held at a time.
        size: shrink to this size first, as if they had been generated at it.
        fit: how a picture gets the shape of `size`: `pad`, `stretch` or `crop`.
        mode: `clean` (antialiased) or `legacy` (not): how a picture is brought to the input size.
        pad: fill up with white what is not square, instead of stretching it.
        batch_size: pictures a forward pass, the extractor's own if None; changes the time, not the
            features (to about 1e-6).
        num_workers: threads that resize pictures; 0 is none but this one.
        on_batch: told how many pictures are done, after each forward pass.

    Raises:
        ValueError: there is no picture, or another mode.
    """
    if mode not in MODES:
        raise ValueError(f"unknown mode {mode!r}; choose one of {', '.join(MODES)}")
    resize = resize_clean if mode == "clean" else resize_legacy

    def prepare(image: Image.Image) -> Tensor:
        shrunk = image if size is None else fitted(image, size, fit)
        return resize(shrunk, extractor.input_size, pad)

    in_worker = temporary_thread_pool()(prepare)  # its pool would slow down the network's
    number = batch_size or extractor.batch_size
    chunks: list[Features] = []
    pictures, done = iter(images), 0
    with ThreadPoolExecutor(max(1, num_workers)) as pool:
        while batch := list(islice(pictures, number)):
            squares = pool.map(in_worker, batch) if num_workers else map(prepare, batch)
            pixels = torch.stack(list(squares)).to(extractor.device)
            chunks.append(extractor.net(pixels).float().cpu().numpy())
            done += len(batch)
            if on_batch:
                on_batch(done)
    if not chunks:
        raise ValueError("got no picture to take features of, wanted at least one")
    return np.concatenate(chunks)
