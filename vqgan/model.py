"""The image tokenizer: encoder, codebook, decoder.

Parameter names and shapes are those of taming-transformers, so that its public checkpoints load
strictly. Two settings go beyond it: `norm_groups` (taming: 32) and `patch_size`, which folds
p x p pixels into channels before the first convolution (taming: 1) and saves the layers at full
resolution, where a CPU spends most of its time.

Shapes: B batch, C channels, H W image, h w grid, D codebook width, V codes.
"""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass, fields
from os import PathLike
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ufc_base.checkpoint import CheckpointError, load_module, refuse_sizes, save_module
from ufc_base.computing.inference import Derived, is_plain, is_untouched
from vqgan.packed_convolution import Conv2d
from vqgan.quantizer import VectorQuantizer, join_codes, split_codes


@dataclass(frozen=True)
class VQGANConfig:
    """Sizes of a tokenizer. The defaults of names shared with taming's `ddconfig` follow it."""

    resolution: int = 256  # pixels a side, where `height` and `width` do not say otherwise
    in_channels: int = 3
    out_ch: int = 3
    ch: int = 128
    ch_mult: tuple[int, ...] = (1, 1, 2, 2, 4)
    num_res_blocks: int = 2
    attn_resolutions: tuple[int, ...] = (16,)
    z_channels: int = 256
    double_z: bool = False
    dropout: float = 0.0
    embed_dim: int = 256
    n_embed: int = 1024
    l2_norm: bool = False
    norm_groups: int = 32
    patch_size: int = 1
    height: int | None = None
    width: int | None = None
    codebooks: int = 1  # codes a cell: product quantisation of its vector (Jegou et al. 2011)
    smoothing_channels: int = 0  # of the layers that go over the seams of unfolded patches
    fit: str = "pad"  # how the pictures that it learnt from got their shape: pad, stretch or crop

    def __post_init__(self) -> None:
        for name in ("ch_mult", "attn_resolutions"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        refuse_sizes(self, num_res_blocks=256, codebooks=64)
        for side in self.size:
            if side % self.downsampling:
                raise ValueError(
                    f"a side of {side} pixels is not a multiple of {self.downsampling} "
                    f"(patch_size {self.patch_size} x {len(self.ch_mult) - 1} halvings): change one"
                )
        if self.embed_dim % self.codebooks:
            raise ValueError(
                f"embed_dim {self.embed_dim} is not a multiple of codebooks ({self.codebooks})"
            )

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels of the pictures that the model is trained on."""
        return self.height or self.resolution, self.width or self.resolution

    @property
    def downsampling(self) -> int:
        """Pixels per grid cell along one side."""
        return self.patch_size * 2 ** (len(self.ch_mult) - 1)

    @property
    def codes(self) -> int:
        """How many joint codes a cell may have, those of all codebooks together."""
        return self.n_embed**self.codebooks

    @property
    def grid_size(self) -> tuple[int, int]:
        """(rows, columns) of the grid of a picture of `size`."""
        height, width = self.size
        return height // self.downsampling, width // self.downsampling

    @property
    def grid(self) -> int:
        """Grid cells along one side of a square picture.

        Raises:
            ValueError: the model's pictures are not square.
        """
        rows, columns = self.grid_size
        if rows != columns:
            raise ValueError(f"the grid of {rows} x {columns} cells is not square: see grid_size")
        return rows

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> VQGANConfig:
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise CheckpointError(
                f"tokenizer config has unknown keys {unknown}; known are {sorted(known)}"
            )
        return cls(**values)


def group_norm(channels: int, groups: int) -> nn.GroupNorm:
    return nn.GroupNorm(min(groups, channels), channels, eps=1e-6)


class ResnetBlock(nn.Module):
    """norm, SiLU, conv, twice, around a skip connection.

    Without a gradient the sum is written over the input, which nobody else looks at.
    """

    def __init__(self, inner: int, outer: int, config: VQGANConfig) -> None:
        super().__init__()
        self.norm1 = group_norm(inner, config.norm_groups)
        self.conv1 = Conv2d(inner, outer, 3, padding=1)
        self.norm2 = group_norm(outer, config.norm_groups)
        self.dropout = nn.Dropout(config.dropout)
        self.conv2 = Conv2d(outer, outer, 3, padding=1)
        if inner != outer:
            self.nin_shortcut = nn.Conv2d(inner, outer, 1)
        self.same_width = inner == outer

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x), inplace=True))
        h = self.dropout(F.silu(self.norm2(h), inplace=True))
        return self.conv2(h, onto=x if self.same_width else self.nin_shortcut(x))


class AttnBlock(nn.Module):
    """One-head self-attention over the cells of the feature map."""

    def __init__(self, channels: int, config: VQGANConfig) -> None:
        super().__init__()
        self.norm = group_norm(channels, config.norm_groups)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        h = self.norm(x)
        q, k, v = (rearrange(f(h), "b c h w -> b 1 (h w) c") for f in (self.q, self.k, self.v))
        h = F.scaled_dot_product_attention(q, k, v)
        h = rearrange(h, "b 1 (h w) c -> b c h w", h=height, w=width)
        return x + self.proj_out(h)


class Downsample(nn.Module):
    """Stride-2 convolution with taming's padding (one row below, one column right)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Nearest-neighbour doubling and a 3 x 3 convolution.

    Of nine doubled pixels under the kernel only four differ. Without a gradient, on a CPU, each of
    the four kinds of output pixel is therefore made by a 2 x 2 convolution of the small map, with
    sums of the kernel's weights: 4/9 of the multiplications, and no doubled map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.derived = Derived()

    def forward(self, x: Tensor) -> Tensor:
        if not (is_untouched(self.conv) and is_plain(x, self.conv.weight)):
            return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        batch, channels, height, width = x.shape
        around = F.pad(x, (1, 1, 1, 1))
        out = x.new_empty(batch, height, 2, width, 2, channels)
        weight = self.conv.weight.detach()
        kernels = self.derived.get("folded", [self.conv.weight], lambda: fold_doubling(weight))
        for index, kernel in enumerate(kernels):
            row, col = divmod(index, 2)
            part = around[:, :, row : row + height + 1, col : col + width + 1]
            made = F.conv2d(part, kernel, self.conv.bias)
            out[:, :, row, :, col] = made.permute(0, 2, 3, 1)
        return out.view(batch, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)


def fold_doubling(weight_OI33: Tensor) -> list[Tensor]:
    """Nearest-neighbour doubling within a 3 x 3 kernel, by output row and column: 4 x (O, I, 2, 2).

    An even output sees pixels under weights (1 | 2 + 3), an odd one (1 + 2 | 3), along each axis.
    """

    def fold(weight: Tensor, dim: int) -> tuple[Tensor, Tensor]:
        one, two, three = weight.unbind(dim)
        return torch.stack([one, two + three], dim), torch.stack([one + two, three], dim)

    return [
        kernel.contiguous(memory_format=torch.channels_last)
        for rows in fold(weight_OI33, 2)
        for kernel in fold(rows, 3)
    ]


class Level(nn.Module):
    """The residual blocks, and their attention blocks, of one resolution."""

    def __init__(self, widths: list[int], attention: bool, config: VQGANConfig) -> None:
        super().__init__()
        self.block = nn.ModuleList(
            ResnetBlock(inner, outer, config) for inner, outer in itertools.pairwise(widths)
        )
        self.attn = nn.ModuleList(
            AttnBlock(outer, config) for outer in (widths[1:] if attention else [])
        )
        self.downsample: Downsample | None = None
        self.upsample: Upsample | None = None

    def forward(self, x: Tensor) -> Tensor:
        for index, block in enumerate(self.block):
            x = block(x)
            if self.attn:
                x = self.attn[index](x)
        return x


class Middle(nn.Module):
    """Block, attention, block at the grid's resolution."""

    def __init__(self, channels: int, config: VQGANConfig) -> None:
        super().__init__()
        self.block_1 = ResnetBlock(channels, channels, config)
        self.attn_1 = AttnBlock(channels, config)
        self.block_2 = ResnetBlock(channels, channels, config)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))


class Encoder(nn.Module):
    """Images (B, 3, H, W) to features (B, z, h, w)."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        channels = config.ch
        resolution = config.size[0] // config.patch_size
        self.conv_in = Conv2d(config.in_channels * config.patch_size**2, channels, 3, padding=1)
        self.down = nn.ModuleList()
        for index, mult in enumerate(config.ch_mult):
            widths = [channels] + [config.ch * mult] * config.num_res_blocks
            level = Level(widths, resolution in config.attn_resolutions, config)
            channels = widths[-1]
            if index < len(config.ch_mult) - 1:
                level.downsample = Downsample(channels)
                resolution //= 2
            self.down.append(level)
        self.mid = Middle(channels, config)
        self.norm_out = group_norm(channels, config.norm_groups)
        outer = 2 * config.z_channels if config.double_z else config.z_channels
        self.conv_out = Conv2d(channels, outer, 3, padding=1)

    def levels(self) -> list[Level]:
        return cast(list[Level], list(self.down))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x = F.pixel_unshuffle(x_BCHW, self.patch_size) if self.patch_size > 1 else x_BCHW
        x = self.conv_in(x)
        for level in self.levels():
            x = level(x)
            if level.downsample is not None:
                x = level.downsample(x)
        return self.conv_out(F.silu(self.norm_out(self.mid(x))))


class Smoothing(nn.Sequential):
    """A residual of two convolutions over all pixels, nothing with 0 `channels`.

    Pixels unfolded from channels know nothing of their neighbours in the next patch, which shows
    as a weave of the patches' period. It starts as the identity.
    """

    def __init__(self, colours: int, channels: int) -> None:
        if not channels:
            super().__init__()
            return
        last = nn.Conv2d(channels, colours, 3, padding=1)
        super().__init__(nn.Conv2d(colours, channels, 3, padding=1), nn.SiLU(), last)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(cast(Tensor, last.bias))

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x) if len(self) else x


class Decoder(nn.Module):
    """Features (B, z, h, w) to images (B, 3, H, W)."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        resolution = config.grid_size[0]
        channels = config.ch * config.ch_mult[-1]
        self.conv_in = Conv2d(config.z_channels, channels, 3, padding=1)
        self.mid = Middle(channels, config)
        levels: list[Level] = []
        for index in reversed(range(len(config.ch_mult))):
            widths = [channels] + [config.ch * config.ch_mult[index]] * (config.num_res_blocks + 1)
            level = Level(widths, resolution in config.attn_resolutions, config)
            channels = widths[-1]
            if index > 0:
                level.upsample = Upsample(channels)
                resolution *= 2
            levels.insert(0, level)
        self.up = nn.ModuleList(levels)
        self.norm_out = group_norm(channels, config.norm_groups)
        self.conv_out = Conv2d(channels, config.out_ch * config.patch_size**2, 3, padding=1)
        self.smooth = Smoothing(config.out_ch, config.smoothing_channels)

    def levels(self) -> list[Level]:
        return cast(list[Level], list(self.up))

    def forward(self, z: Tensor) -> Tensor:
        x = self.mid(self.conv_in(z))
        for level in reversed(self.levels()):
            x = level(x)
            if level.upsample is not None:
                x = level.upsample(x)
        x = self.conv_out(F.silu(self.norm_out(x)))
        return self.smooth(F.pixel_shuffle(x, self.patch_size) if self.patch_size > 1 else x)


class VQGAN(nn.Module):
    """Images to codes and back (Esser et al. 2021)."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.quantize = VectorQuantizer(
            config.n_embed, config.embed_dim, config.l2_norm, config.codebooks
        )
        encoded = 2 * config.z_channels if config.double_z else config.z_channels
        self.quant_conv = nn.Conv2d(encoded, config.embed_dim, 1)
        self.post_quant_conv = nn.Conv2d(config.embed_dim, config.z_channels, 1)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def features(self, x_BCHW: Tensor) -> Tensor:
        """Encoder output before quantisation, (B, D, h, w)."""
        x = x_BCHW.contiguous(memory_format=torch.channels_last)
        return self.quant_conv(self.encoder(x))

    def encode(self, x_BCHW: Tensor) -> Tensor:
        """Images in -1..1, (B, 3, H, W), to codes (B, h, w) int64.

        With several codebooks a cell's code is the joint one of them all, see `join_codes`.
        """
        codes = self.quantize.codes(self.features(x_BCHW))
        return codes if self.config.codebooks == 1 else join_codes(codes, self.config.n_embed)

    def split(self, codes: Tensor) -> Tensor:
        """Codes by codebook, (...) to (..., codebooks); they count through the codebooks."""
        return split_codes(codes, self.config.n_embed, self.config.codebooks)

    def vectors(self, codes_BHW: Tensor) -> Tensor:
        """Codebook vectors of codes, (B, D, h, w)."""
        single = self.config.codebooks == 1
        return self.quantize.vectors(codes_BHW if single else self.split(codes_BHW))

    def decode_vectors(self, vectors_BDHW: Tensor) -> Tensor:
        """Codebook vectors (B, D, h, w) to images near -1..1, not clamped."""
        x = vectors_BDHW.contiguous(memory_format=torch.channels_last)
        return self.decoder(self.post_quant_conv(x))

    def decode(self, codes_BHW: Tensor) -> Tensor:
        """Codes (B, h, w) to images in -1..1, (B, 3, H, W)."""
        return self.decode_vectors(self.vectors(codes_BHW)).clamp(-1, 1)

    def forward(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction (B, 3, H, W), commitment loss, codes as `VectorQuantizer` has them."""
        quantised, commitment, codes_BHW = self.quantize(self.features(x_BCHW))
        return self.decode_vectors(quantised), commitment, codes_BHW

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
    ) -> VQGAN:
        """Read a folder written by `save_pretrained`. Raises `CheckpointError` if it is unsound."""
        model = load_module(
            folder, lambda values: cls(VQGANConfig.from_dict(values)), variant, mmap=mmap
        )
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return model.eval()


def tokenizer_folder(path: str | PathLike[str]) -> Path:
    """The folder of a tokenizer that is given by itself, or as a part of a whole model."""
    folder = Path(path)
    inside = folder / "tokenizer"
    return inside if not (folder / "config.json").is_file() and inside.is_dir() else folder
