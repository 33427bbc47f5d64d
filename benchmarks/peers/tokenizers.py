"""Our tokenizer and taming's modules with the same weights: time, and how far apart pixels are."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vqgan.model import VQGAN, VQGANConfig
from vqgan.perceptual import import_torchvision

SMALL: dict[str, Any] = {"z_channels": 128, "embed_dim": 8, "n_embed": 2048, "num_res_blocks": 1}
CONFIGS = {
    "64 px, f4, ch 32": VQGANConfig(resolution=64, ch=32, ch_mult=(1, 2, 4), **SMALL),
    "128 px, f8, ch 32": VQGANConfig(resolution=128, ch=32, ch_mult=(1, 2, 2, 4), **SMALL),
    "256 px, f16, ch 64": VQGANConfig(resolution=256, ch=64, n_embed=1024),
}


class Taming(nn.Module):
    """taming's encoder and decoder between two 1 x 1 convolutions, as in its VQModel."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        import_torchvision()
        from taming.modules.diffusionmodules.model import Decoder, Encoder

        names = ("ch", "out_ch", "ch_mult", "num_res_blocks", "attn_resolutions", "in_channels")
        settings: dict[str, Any] = {name: getattr(config, name) for name in names}
        settings |= {"resolution": config.resolution, "z_channels": config.z_channels}
        self.encoder = Encoder(**settings, double_z=config.double_z)
        self.decoder = Decoder(**settings)
        self.quant_conv = nn.Conv2d(config.z_channels, config.embed_dim, 1)
        self.post_quant_conv = nn.Conv2d(config.embed_dim, config.z_channels, 1)

    def features(self, x_BCHW: Tensor) -> Tensor:
        return self.quant_conv(self.encoder(x_BCHW))

    def decode_vectors(self, vectors_BDHW: Tensor) -> Tensor:
        return self.decoder(self.post_quant_conv(vectors_BDHW))


def pair(config: VQGANConfig) -> tuple[Taming, VQGAN]:
    """Both, with the same random weights, ready to draw."""
    torch.manual_seed(0)
    theirs, mine = Taming(config).eval(), VQGAN(config).eval()
    missing, unexpected = mine.load_state_dict(theirs.state_dict(), strict=False)
    if unexpected or missing != ["quantize.embedding.weight"]:
        raise RuntimeError(f"other parameters than taming's: {missing}, {unexpected}")
    return theirs.requires_grad_(False), mine.requires_grad_(False)
