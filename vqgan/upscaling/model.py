"""The upscaler: pictures of twice the side, from what a tokenizer decodes.

A network of residual blocks on folded pixels (2 x 2 into channels, so that a CPU works on maps of a
quarter of the picture) makes what bicubic enlargement lacks. It is convolutional: any size will do.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from os import PathLike
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ufc_base.checkpoint import CheckpointError, load_module, save_module
from vqgan.model import Smoothing
from vqgan.packed_convolution import Conv2d

SCALE = 2
MOST_CHANNELS, MOST_BLOCKS = 1024, 256  # of a file that anybody may have written


@dataclass(frozen=True)
class UpscalerConfig:
    """Sizes of an upscaler."""

    width: int = 96  # channels
    depth: int = 8  # residual blocks
    fold: int = 2  # pixels a side that are folded into channels
    smoothing_channels: int = 16  # of the layers over the seams of unfolded pixels, 0 is without

    def __post_init__(self) -> None:
        bounds = {
            "width": (1, MOST_CHANNELS),
            "depth": (0, MOST_BLOCKS),
            "fold": (1, 8),
            "smoothing_channels": (0, MOST_CHANNELS),
        }
        for name, (least, most) in bounds.items():
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise ValueError(f"{name}: got {value!r}, wanted a whole number, {least} to {most}")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> UpscalerConfig:
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise CheckpointError(
                f"upscaler config has unknown keys {unknown}; known are {sorted(known)}"
            )
        return cls(**values)


class ResidualBlock(nn.Module):
    """SiLU, conv, twice, around a skip connection; without norms, which would change colours.

    Without a gradient the sum is written over the input, which nobody else looks at.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = Conv2d(width, width, 3, padding=1)
        self.conv2 = Conv2d(width, width, 3, padding=1)
        with torch.no_grad():
            self.conv2.weight.mul_(0.1)  # many blocks begin as nearly nothing

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(x))
        return self.conv2(F.silu(h, inplace=True), onto=x)


class Upscaler(nn.Module):
    """Pictures to pictures of twice the side; untrained it is bicubic enlargement."""

    def __init__(self, config: UpscalerConfig) -> None:
        super().__init__()
        self.config = config
        self.conv_in = Conv2d(3 * config.fold**2, config.width, 3, padding=1)
        self.blocks = nn.ModuleList(ResidualBlock(config.width) for _ in range(config.depth))
        self.conv_out = Conv2d(config.width, 3 * (SCALE * config.fold) ** 2, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(cast(Tensor, self.conv_out.bias))
        self.smooth = Smoothing(3, config.smoothing_channels)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Pictures near -1..1, (B, 3, H, W), to such of (B, 3, 2 H, 2 W), not clamped."""
        height, width = x_BCHW.shape[-2:]
        fold = self.config.fold
        padded = F.pad(x_BCHW, (0, -width % fold, 0, -height % fold), mode="replicate")
        h = F.pixel_unshuffle(padded, fold).contiguous(memory_format=torch.channels_last)
        h = self.conv_in(h)
        for block in self.blocks:
            h = block(h)
        fine = F.pixel_shuffle(self.conv_out(F.silu(h)), SCALE * fold)
        return self.smooth(bicubic(x_BCHW) + fine[..., : SCALE * height, : SCALE * width])

    @torch.no_grad()
    def enlarge(self, x_BCHW: Tensor) -> Tensor:
        """Pictures in -1..1, (B, 3, H, W), at twice the size, in -1..1."""
        return self(x_BCHW).clamp(-1, 1)

    def save_pretrained(
        self,
        folder: str | PathLike[str],
        dtype: torch.dtype | None = None,
        variant: str | None = None,
        max_shard_size: int | str = "1GB",
    ) -> None:
        """Write `config.json` and `model.safetensors` (cast to `dtype` if given)."""
        save_module(
            self,
            self.config.to_dict(),
            folder,
            dtype=dtype,
            variant=variant,
            max_shard_size=max_shard_size,
        )

    @classmethod
    def from_pretrained(
        cls, folder: str | PathLike[str], variant: str | None = None, mmap: bool = True
    ) -> Upscaler:
        """Read a folder written by `save_pretrained`. Raises `CheckpointError` if it is unsound."""
        model = load_module(
            folder, lambda values: cls(UpscalerConfig.from_dict(values)), variant, mmap=mmap
        )
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return model.eval()


def bicubic(x_BCHW: Tensor) -> Tensor:
    """Pictures at twice the size by bicubic interpolation, not clamped."""
    return F.interpolate(x_BCHW, scale_factor=SCALE, mode="bicubic", align_corners=False)
