"""Pictures as torchmetrics take them, and as what judges them does."""

from __future__ import annotations

from PIL import Image
from torch import Tensor


def eight_bits(pictures: Tensor, normalize: bool) -> Tensor:
    """Pictures as uint8 (B, 3, H, W); with `normalize` they are float 0..1.

    Raises:
        ValueError: they are not of this shape or type, or there are none.
    """
    wanted = "float 0..1" if normalize else "uint8"
    if pictures.ndim != 4 or pictures.shape[1] != 3 or not len(pictures):
        raise ValueError(f"got {tuple(pictures.shape)}, wanted pictures (B, 3, H, W), {wanted}")
    if pictures.is_floating_point() != normalize:
        raise ValueError(f"got pictures of {pictures.dtype}, wanted {wanted} (normalize=)")
    return (pictures * 255).round().clamp(0, 255).byte() if normalize else pictures.byte()


def as_image(picture_CHW: Tensor) -> Image.Image:
    """A uint8 picture as Pillow's."""
    return Image.fromarray(picture_CHW.permute(1, 2, 0).cpu().numpy())
