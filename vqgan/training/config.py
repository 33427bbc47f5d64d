"""Settings of the first stage's training."""

from __future__ import annotations

from dataclasses import dataclass

from ufc_base.settings import LoopSettings, setting
from vqgan.model import VQGANConfig
from vqgan.training.losses import LossWeights


@dataclass
class TokenizerTrainConfig(LoopSettings):
    """Flags of `ufc train-tokenizer`; the sizes default to those of a tokenizer of
    64 x 64 pixels, `--config fashion-192x256-tokenizer` has the bundled one's."""

    output_dir: str = setting("runs/tokenizer", "Where model, checkpoints and log go.")
    resolution: int = setting(64, "Side of square pictures in pixels.")
    height: int | None = setting(None, "Height of the pictures, where it is not the resolution.")
    width: int | None = setting(None, "Width of the pictures, where it is not the resolution.")
    ch: int = setting(96, "Channels of the widest feature map.")
    ch_mult: tuple[int, ...] = setting((1, 2), "Channel factors; each but the last halves the map.")
    num_res_blocks: int = setting(1, "Residual blocks a level (one more in the decoder).")
    attn_resolutions: tuple[int, ...] = setting((), "Map sizes with attention blocks.")
    z_channels: int = setting(192, "Channels between encoder and codebook.")
    embed_dim: int = setting(8, "Width of a codebook vector.")
    n_embed: int = setting(2048, "Codes in the codebook.")
    norm_groups: int = setting(8, "Groups of the group normalisation.")
    codebooks: int = setting(1, "Codes a cell, each out of a codebook of n_embed.")
    patch_size: int = setting(4, "Pixels folded into channels before the first convolution.")
    smoothing_channels: int = setting(
        0,
        "Channels of the last layers, over the seams of unfolded patches; 0 is without.",
        0,
    )
    train_batch_size: int = setting(16, "Pictures a step.")
    learning_rate: float = setting(5e-4, "Peak learning rate; it falls by a cosine.")
    shift_pixels: int = setting(
        0,
        "Pixels by which each picture is moved at random; 2 or 3 keep a long run from "
        "learning a small set by heart.",
        0,
    )
    colour_jitter: float = setting(
        0.0, "Share by which brightness, contrast and colour of a picture change at random."
    )
    crop_pixels: int = setting(
        0,
        "Side of square crops over the foreground that a share of the steps see; 0 is without.",
        0,
    )
    crop_share: float = setting(0.5, "That share of the steps.")
    lr_decay_start: float = setting(
        0.0, "Share of the run after which the learning rate falls; it is constant before."
    )
    codebook_start: int = setting(
        200, "Step at which k-means places the codes; a fifth of a short run.", 0
    )
    codebook_restart_until: float = setting(0.8, "Share of the run in which dead codes restart.")
    commitment: float = setting(0.25, "Weight of the commitment loss.")
    l1_weight: float = setting(1.0, "Weight of the absolute error.")
    l2_weight: float = setting(2.0, "Weight of the squared error.")
    perceptual_weight: float = setting(1.0, "Weight of LPIPS.")
    texture_weight: float = setting(0.0, "Weight of LPIPS on pictures enlarged twofold.")
    chroma_weight: float = setting(1.0, "Weight of the error in colour without lightness.")
    edge_weight: float = setting(
        0.0, "Weight of the error in differences between neighbouring pixels."
    )
    perceptual_scale: float = setting(
        1.0, "LPIPS sees pictures shrunk at random to this share of their sides, or more."
    )
    perceptual_net: str = setting("alex", "LPIPS backbone: alex, vgg, squeeze, or none.")
    discriminator: str = setting(
        "patch",
        "What the adversarial loss looks at: patch (pixels), features (the LPIPS backbone's), or "
        "both.",
    )
    discriminator_weight: float = setting(0.2, "Weight of the adversarial loss; 0 is without.")
    discriminator_start: float = setting(0.72, "Share of the run after which it sets in.")
    discriminator_ramp: float = setting(0.1, "Share of the run over which it grows to full weight.")
    discriminator_learning_rate: float = setting(2e-4, "Learning rate of the discriminator.")
    discriminator_channels: int = setting(
        64,
        "Channels of patch's first layer (half as many take a quarter of the time), or of each "
        "head on features.",
    )
    freeze_encoder: bool = setting(False, "Train the decoder alone; codes stay as they are.")
    code_noise: float = setting(
        0.0,
        "With --freeze-encoder: up to this share of a picture's codes is exchanged for near ones, "
        "as a generator's are; the decoder learns to make one picture of them.",
    )
    code_noise_neighbours: int = setting(32, "Near codes to choose from.")
    generated_codes: str | None = setting(
        None,
        "With --freeze-encoder: .safetensors with codes that a model has generated "
        "(scripts/codes_of_pictures.py writes one); what the "
        "decoder makes of them is to look real too.",
    )
    generated_pictures: int = setting(
        8, "Generated pictures beside a step's own, over all processes.", 1
    )
    ema_decay: float = setting(0.998, "Decay of the averaged weights, which are what is written.")
    validation_pictures: int = setting(394, "Held-out pictures measured each time.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.code_noise <= 1:
            raise ValueError(f"code_noise is {self.code_noise}, wanted a share from 0 to 1")
        if self.discriminator not in ("patch", "features", "both"):
            raise ValueError(
                f"discriminator is {self.discriminator!r}, wanted 'patch', 'features' or 'both'"
            )
        if self.discriminator != "patch" and self.perceptual_net == "none":
            raise ValueError(
                f"discriminator {self.discriminator!r} looks through the perceptual network, which "
                "is 'none': give --perceptual-net alex, vgg or squeeze"
            )
        if self.generated_codes and not self.freeze_encoder:
            raise ValueError(
                "generated_codes: trains a decoder on fixed codes; give --freeze-encoder"
            )
        if self.generated_codes and not self.discriminator_weight:
            raise ValueError(
                "generated_codes: is for the adversarial loss, and its weight is 0; give "
                "--discriminator-weight"
            )
        if self.code_noise and not self.freeze_encoder:
            raise ValueError("code_noise: trains a decoder on fixed codes; give --freeze-encoder")

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the pictures in pixels."""
        return self.height or self.resolution, self.width or self.resolution

    def model_config(self) -> VQGANConfig:
        return VQGANConfig(
            resolution=self.resolution,
            height=self.height,
            width=self.width,
            codebooks=self.codebooks,
            ch=self.ch,
            ch_mult=self.ch_mult,
            num_res_blocks=self.num_res_blocks,
            attn_resolutions=self.attn_resolutions,
            z_channels=self.z_channels,
            embed_dim=self.embed_dim,
            n_embed=self.n_embed,
            norm_groups=self.norm_groups,
            patch_size=self.patch_size,
            smoothing_channels=self.smoothing_channels,
            fit=self.fit or "pad",
        )

    def loss_weights(self) -> LossWeights:
        return LossWeights(
            self.l1_weight,
            self.l2_weight,
            self.perceptual_weight,
            self.chroma_weight,
            self.texture_weight,
            self.edge_weight,
        )
