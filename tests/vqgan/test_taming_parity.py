"""The tokenizer against taming-transformers itself: same weights, same codes, same pixels."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vqgan.model import VQGAN, VQGANConfig

taming_model = pytest.importorskip(
    "taming.modules.diffusionmodules.model", reason="taming-transformers is not installed"
)
taming_quantize = pytest.importorskip("taming.modules.vqvae.quantize")

# Attention inside the levels and in the middle, widths that change and that do not, sides that
# are no power of two, and a channel count that 32 groups divide into more than one channel each.
SHAPES = {
    "one halving": {"ch": 32, "ch_mult": (1, 2), "num_res_blocks": 1, "attn_resolutions": (16,)},
    "three halvings": {"ch": 64, "ch_mult": (1, 1, 2, 2), "attn_resolutions": (8, 4)},
    "no attention": {"ch": 32, "ch_mult": (2, 1), "num_res_blocks": 2, "attn_resolutions": ()},
    "double z": {"ch": 32, "ch_mult": (1, 1), "attn_resolutions": (16,), "double_z": True},
}


class TamingVQGAN(nn.Module):
    """`taming.models.vqgan.VQModel` without Lightning: the same parts under the same names."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        settings: dict[str, Any] = {
            name: getattr(config, name)
            for name in (
                "ch",
                "out_ch",
                "ch_mult",
                "num_res_blocks",
                "attn_resolutions",
                "in_channels",
                "resolution",
                "z_channels",
                "double_z",
            )
        }
        self.encoder = taming_model.Encoder(**settings)
        self.decoder = taming_model.Decoder(**settings)
        self.quantize = taming_quantize.VectorQuantizer2(config.n_embed, config.embed_dim, 0.25)
        encoded = config.z_channels * (2 if config.double_z else 1)
        self.quant_conv = nn.Conv2d(encoded, config.embed_dim, 1)
        self.post_quant_conv = nn.Conv2d(config.embed_dim, config.z_channels, 1)

    def forward(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Codes (B, h, w) and the reconstruction (B, 3, H, W)."""
        features = self.quant_conv(self.encoder(x_BCHW))
        quantised, _, (_, _, codes_N) = self.quantize(features)
        codes_BHW = codes_N.view(features.shape[0], *features.shape[2:])
        return codes_BHW, self.decoder(self.post_quant_conv(quantised))


def randomise(module: nn.Module) -> None:
    """Weights far from their start, so that no part's scale or shift goes unnoticed."""
    generator = torch.Generator().manual_seed(0)
    for value in module.parameters():
        noise = torch.randn(value.shape, generator=generator)
        spread = 0.3 if value.dim() < 2 else value[0].numel() ** -0.5
        value.data = spread * noise + (value.data if value.dim() < 2 else 0)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@torch.no_grad()
def test_codes_and_pixels_are_tamings(shape: dict[str, Any]) -> None:
    config = VQGANConfig(resolution=32, z_channels=16, embed_dim=16, n_embed=64, **shape)
    torch.manual_seed(3)
    reference = TamingVQGAN(config).eval()
    randomise(reference)
    model = VQGAN(config).eval()
    model.load_state_dict(reference.state_dict(), strict=True)
    x = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1

    codes, pixels = reference(x)

    assert torch.equal(model.encode(x), codes)
    assert codes.unique().numel() > 4, "too few codes to tell anything"
    assert pixels.std() > 0.1, "too faint a picture to tell anything"
    assert (model.decode_vectors(model.quantize.vectors(codes)) - pixels).abs().max() < 1e-4
    assert (model(x)[0] - pixels).abs().max() < 1e-4
    assert (model.decode(codes) - pixels.clamp(-1, 1)).abs().max() < 1e-4


@torch.no_grad()
def test_parameters_are_tamings_by_name_and_shape() -> None:
    config = VQGANConfig(ch=32, resolution=64, z_channels=32, embed_dim=16, n_embed=8)
    theirs = {name: v.shape for name, v in TamingVQGAN(config).state_dict().items()}
    ours = {name: v.shape for name, v in VQGAN(config).state_dict().items()}
    assert ours == theirs
