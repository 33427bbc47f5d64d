"""Deep features of pictures: mean activations of a pretrained convolution network's last layers.

Two networks, through torchvision: `alexnet` (quick) and `vgg16`. Only their convolutions are used.
Every picture is brought to one square with antialiasing, each alone, so nothing depends on which
pictures share a batch.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from vqgan.images import fit_square, to_tensor
from vqgan.perceptual import backbone_help, import_torchvision

Features = NDArray[np.float32]

INPUT_SIZE = 128  # pixels; 224, the size it was trained at, takes three times as long

# After these modules of `features`: relu3, relu4, relu5 and relu3_3, relu4_3, relu5_3.
_TAPS = {"alexnet": (7, 9, 11), "vgg16": (15, 22, 29)}
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)

EXTRACTORS = tuple(_TAPS)


@dataclass(frozen=True)
class Extractor:
    """A network with all that must be known to repeat its features.

    Attributes:
        name: what it is called in reports.
        input_size: side in pixels of the square that pictures are resized to.
        net: pixels (B 3 H W, -1..1) to features (B F).
        frechet: which of the F features a Frechet distance is taken of.
        weights: a hash of the weights, shortened.
    """

    name: str
    input_size: int
    net: Callable[[Tensor], Tensor]
    frechet: slice
    weights: str

    @property
    def about(self) -> str:
        """One line that tells two extractors apart; features are comparable only if it agrees."""
        used = f"{self.frechet.start}:{self.frechet.stop}"
        return f"{self.name} weights {self.weights} input {self.input_size} px FD of {used}"


class TappedConvolutions(nn.Module):
    """A chain of layers whose activations are averaged over the picture after each of `taps`."""

    mean: Tensor
    std: Tensor

    def __init__(self, layers: nn.Sequential, taps: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*list(layers)[: max(taps) + 1])
        self.taps = frozenset(taps)
        self.register_buffer("mean", torch.tensor(_IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(_IMAGENET_STD).view(1, 3, 1, 1))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Pixels (B 3 H W, -1..1) to features (B F), first tap first."""
        h = ((x_BCHW + 1) / 2 - self.mean) / self.std
        h = h.contiguous(memory_format=torch.channels_last)
        pooled = []
        for index, layer in enumerate(self.layers):
            h = layer(h)
            if index in self.taps:
                pooled.append(h.mean((2, 3)))
        return torch.cat(pooled, dim=1)


def load_extractor(name: str = "alexnet", input_size: int = INPUT_SIZE) -> Extractor:
    """`alexnet` or `vgg16` with ImageNet weights from the torch hub cache, else downloaded.

    Raises:
        ValueError: another name.
        RuntimeError: the weights are neither cached nor to be downloaded.
    """
    if name not in _TAPS:
        raise ValueError(f"unknown extractor {name!r}; choose one of {', '.join(EXTRACTORS)}")
    import_torchvision()
    models: Any = importlib.import_module("torchvision.models")
    try:
        layers = models.get_model(name, weights="IMAGENET1K_V1").features
    except (OSError, RuntimeError, EOFError) as error:
        raise RuntimeError(backbone_help(f"The extractor {name}", error)) from error
    return make_extractor(name, layers, _TAPS[name], input_size)


def make_extractor(
    name: str, layers: nn.Sequential, taps: tuple[int, ...], input_size: int
) -> Extractor:
    """An extractor from any chain of layers; the Frechet distance is of the last tap alone.

    Few features there make the distance steadier: its covariance has to be known from the pictures.
    """
    net = TappedConvolutions(layers, taps).eval().requires_grad_(False)
    last = TappedConvolutions(layers, (max(taps),)).eval()
    nn.utils.convert_conv2d_weight_memory_format(net, torch.channels_last)
    blank = torch.zeros(1, 3, input_size, input_size)
    total, final = net(blank).shape[1], last(blank).shape[1]
    return Extractor(name, input_size, net, slice(total - final, total), _hash_weights(net))


@torch.inference_mode()
def extract(
    extractor: Extractor,
    images: Iterable[Image.Image],
    *,
    size: int | None = None,
    batch_size: int = 32,
    on_batch: Callable[[int], None] | None = None,
) -> Features:
    """Features of pictures of any size, float32 (N F), in their order.

    Args:
        extractor: the network.
        images: pictures of any mode; one batch of them is held at a time.
        size: shrink to this many pixels first, as if they had been drawn at that size.
        batch_size: pictures per pass; changes the time, not the features (to about 1e-6).
        on_batch: told how many pictures are done, after each pass.

    Raises:
        ValueError: there is no picture.
    """
    chunks: list[Features] = []
    pictures, done = iter(images), 0
    while batch := list(islice(pictures, batch_size)):
        if size is not None:
            batch = [fit_square(image, size) for image in batch]
        squares = [fit_square(image, extractor.input_size) for image in batch]
        chunks.append(extractor.net(to_tensor(squares)).float().numpy())
        done += len(batch)
        if on_batch:
            on_batch(done)
    if not chunks:
        raise ValueError("got no picture to take features of, wanted at least one")
    return np.concatenate(chunks)


def cached(
    folder: str | Path | None, key: Mapping[str, object], compute: Callable[[], Features]
) -> Features:
    """`compute()`, or what it gave for an equal `key` before, kept in `folder` (None: no cache).

    The key must name everything that the features depend on, by content: see `content_hash`.
    """
    if folder is None:
        return compute()
    digest = hashlib.sha256(json.dumps(dict(key), sort_keys=True).encode()).hexdigest()[:24]
    path = Path(folder) / f"features-{digest}.npy"
    if path.is_file():
        loaded: Features = np.load(path, allow_pickle=False)
        return loaded
    features = compute()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as stream:
        np.save(stream, features)
    part.replace(path)
    return features


def content_hash(path: str | Path) -> str:
    """A hash of all files under a folder (or of one file): names and bytes, not dates."""
    root = Path(path)
    files = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file())
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.relative_to(root.parent if root.is_file() else root).as_posix().encode())
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _hash_weights(net: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(net.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]
