"""Settings of the upscaler's training."""

from __future__ import annotations

from dataclasses import dataclass

from ufc_base.settings import LoopSettings, setting
from vqgan.training.losses import LossWeights
from vqgan.upscaling.model import UpscalerConfig

LEAST_LPIPS = 64  # pixels a side of what LPIPS can look at


@dataclass
class UpscalerTrainConfig(LoopSettings):
    """Flags of `ufc train-upscaler`; the sizes are those of 2.8 MB in half precision."""

    output_dir: str = setting("runs/upscaler", "Where model, checkpoints and log go.")
    tokenizer: str = setting(
        "", "Whose reconstructions are enlarged: a tokenizer's folder, or a model's."
    )
    width: int = setting(96, "Channels of the network.")
    depth: int = setting(8, "Residual blocks of the network.", 0)
    fold: int = setting(2, "Pixels a side that are folded into channels.")
    smoothing_channels: int = setting(
        16, "Channels of the last layers, over the seams of unfolded pixels; 0 is without.", 0
    )
    train_batch_size: int = setting(16, "Crops a step.")
    crop_pixels: int = setting(
        64, "Side of the square crops of reconstructions; photographs' are of twice the side."
    )
    foreground_share: float = setting(
        0.75, "Share of the crops that lie around a pixel which is not background."
    )
    learning_rate: float = setting(5e-4, "Peak learning rate; it falls by a cosine.")
    lr_decay_start: float = setting(
        0.0, "Share of the run after which the learning rate falls; it is constant before."
    )
    l1_weight: float = setting(1.0, "Weight of the absolute error.")
    perceptual_weight: float = setting(0.5, "Weight of LPIPS.")
    edge_weight: float = setting(
        0.5, "Weight of the error in differences between neighbouring pixels."
    )
    perceptual_scale: float = setting(
        0.5, "LPIPS sees crops shrunk at random to this share of their sides, or more."
    )
    perceptual_net: str = setting("alex", "LPIPS backbone: alex, vgg, squeeze, or none.")
    validation_pictures: int = setting(100, "Held-out pictures measured each time.")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.model_config()
        if self.foreground_share > 1 or not 0 < self.perceptual_scale <= 1:
            raise ValueError(
                "foreground_share is a share from 0 to 1, perceptual_scale one above 0: got "
                f"{self.foreground_share} and {self.perceptual_scale}"
            )
        least = round(2 * self.crop_pixels * self.perceptual_scale)
        if self.perceptual_net != "none" and least < LEAST_LPIPS:
            raise ValueError(
                f"LPIPS would see crops of {least} pixels, wanted {LEAST_LPIPS} or more: raise "
                "crop_pixels or perceptual_scale"
            )

    def model_config(self) -> UpscalerConfig:
        """Raises `ValueError` for sizes that no upscaler has."""
        return UpscalerConfig(self.width, self.depth, self.fold, self.smoothing_channels)

    def loss_weights(self) -> LossWeights:
        return LossWeights(self.l1_weight, 0.0, self.perceptual_weight, 0.0, edges=self.edge_weight)
