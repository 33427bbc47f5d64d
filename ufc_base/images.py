"""The one pixel convention; how files become pictures is in `ufc_base.reading`.

Outside the models a picture is uint8, H W 3 (or a PIL image), 0..255; inside it is float32,
B 3 H W, -1..1. Masks are PIL `L` images of 0 and 255: white is to be regenerated, black is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ufc_base.arrays import ImageError
from ufc_base.profiles import PROFILE
from ufc_base.reading import WHITE, ImageSource, load_image, load_mask, load_original

__all__ = [
    "ImageError",
    "ImageSource",
    "PictureFit",
    "fit_mask",
    "fit_picture",
    "fit_square",
    "load_image",
    "load_mask",
    "load_original",
    "match_mask",
    "picture_fit",
    "resize_mask",
    "square_fit",
    "to_pil",
    "to_tensor",
    "to_uint8",
]

Pictures: TypeAlias = "Image.Image | np.ndarray | Sequence[Image.Image] | Sequence[np.ndarray]"


@dataclass(frozen=True)
class PictureFit:
    """Where a picture of `width` x `height` lies inside a frame of other proportions.

    `frame` is (height, width). The content box is `left, top, left + inner_width, top +
    inner_height`, in pixels of the frame; what lies outside it is padding.
    """

    width: int
    height: int
    frame: tuple[int, int]
    left: int
    top: int
    inner_width: int
    inner_height: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Content box (left, upper, right, lower) for `Image.crop` and `Image.paste`."""
        right, lower = self.left + self.inner_width, self.top + self.inner_height
        return self.left, self.top, right, lower

    @property
    def exact(self) -> bool:
        """True where the picture already has the frame's size: fitting it changes no pixel."""
        return (self.height, self.width) == self.frame


def match_mask(mask: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Bring a mask to a picture's `size` (width, height); no white stroke is lost.

    A mask may be smaller or larger than its picture (one pixel per block, say) but must have its
    proportions, to within one pixel.

    Raises:
        ImageError: the proportions differ.
    """
    if mask.size == size:
        return mask
    (mask_w, mask_h), (width, height) = mask.size, size
    off_h = abs(mask_h - mask_w * height / width)
    off_w = abs(mask_w - mask_h * width / height)
    if min(off_h, off_w) >= 1:
        raise ImageError(
            f"the mask is {mask_w} x {mask_h} pixels but the image is {width} x {height}; "
            "give a mask of the image's size, or at least of its proportions"
        )
    return resize_mask(mask, size)


def resize_mask(mask: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A mask (`L`, 0/255) of another size: nearest neighbour, or where it shrinks white wherever
    there was any, so that a thin stroke opens the blocks it touches."""
    if mask.width <= size[0] and mask.height <= size[1]:
        return mask.resize(size, Image.Resampling.NEAREST)
    return mask.resize(size, Image.Resampling.BOX).point([0, *[255] * 255])


def picture_fit(size: tuple[int, int], frame: tuple[int, int], stretch: float = 0.0) -> PictureFit:
    """How a picture of `size` (width, height) is laid into a `frame` of (height, width).

    The side that is too long for the frame's proportions fills it, the other is centred. Where
    the proportions differ by no more than `stretch`, a share such as 0.08, both sides fill it.

    Raises:
        ImageError: a side is not positive.
    """
    (width, height), (frame_height, frame_width) = size, frame
    if min(width, height, frame_height, frame_width) < 1:
        raise ImageError(
            f"cannot fit {width} x {height} pixels into {frame_width} x {frame_height}"
        )
    across, down = width * frame_height, height * frame_width  # their ratio is the distortion
    inner_width, inner_height = frame_width, frame_height
    if max(across, down) > min(across, down) * (1 + stretch):
        if across >= down:
            inner_height = max(1, round(height * frame_width / width))
        else:
            inner_width = max(1, round(width * frame_height / height))
    left, top = (frame_width - inner_width) // 2, (frame_height - inner_height) // 2
    return PictureFit(width, height, frame, left, top, inner_width, inner_height)


def square_fit(size: tuple[int, int], resolution: int) -> PictureFit:
    """`picture_fit` into a square of `resolution` pixels, without any stretching."""
    return picture_fit(size, (resolution, resolution))


def fit_picture(
    image: Image.Image,
    frame: tuple[int, int],
    stretch: float = 0.0,
    fill: tuple[int, int, int] = WHITE,
) -> Image.Image:
    """Resize a picture into a frame of (height, width) without cropping it; returns RGB.

    A colour profile in its `info` is kept.

    It is resized by antialiased bicubic interpolation, and what its proportions leave of the frame
    is filled evenly on both sides, with white by default, as product pictures have it; see
    `picture_fit`, which says where the content lies, for `stretch`. A picture that has the size
    already comes back with the same pixels.
    """
    fit = picture_fit(image.size, frame, stretch)
    content = image.convert("RGB")
    if fit.exact:
        return content
    if content.size != (fit.inner_width, fit.inner_height):
        size = fit.inner_width, fit.inner_height
        content = content.resize(size, Image.Resampling.BICUBIC)
    fitted = Image.new("RGB", frame[::-1], fill)
    fitted.paste(content, fit.box)
    if PROFILE in image.info:
        fitted.info[PROFILE] = image.info[PROFILE]
    return fitted


def fit_square(
    image: Image.Image, resolution: int, fill: tuple[int, int, int] = WHITE
) -> Image.Image:
    """`fit_picture` into a square of `resolution` pixels: the longer side fills it."""
    return fit_picture(image, (resolution, resolution), fill=fill)


def fit_mask(mask: Image.Image, frame: int | tuple[int, int], stretch: float = 0.0) -> Image.Image:
    """`fit_picture` for masks (`resize_mask`); padding is kept (black); returns `L` 0/255.

    `frame` is (height, width), or the side of a square.
    """
    frame = (frame, frame) if isinstance(frame, int) else frame
    fit = picture_fit(mask.size, frame, stretch)
    content = resize_mask(mask.convert("L"), (fit.inner_width, fit.inner_height))
    fitted = Image.new("L", frame[::-1], 0)
    fitted.paste(content, fit.box)
    return fitted


def to_tensor(images: Pictures) -> Tensor:
    """Pictures outside to pixels inside: float32, B 3 H W, -1..1.

    `images` is one PIL image, one uint8 array (H W 3 or B H W 3), or a sequence of equal-sized
    PIL images or H W 3 arrays.

    Raises:
        ImageError: no picture, different sizes, or an array that is not uint8 with 3 channels.
    """
    if isinstance(images, np.ndarray) and images.ndim == 4:
        batch = images
    else:
        items = [images] if isinstance(images, np.ndarray | Image.Image) else images
        arrays = [_to_array(item) for item in items]
        sizes = sorted({array.shape for array in arrays})
        if len(sizes) != 1:
            got = " and ".join(f"{w} x {h}" for h, w, *_ in sizes) or "no picture"
            raise ImageError(f"got {got}, wanted pictures of one size; use fit_square first")
        batch = np.stack(arrays)
    if batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[-1] != 3:
        raise ImageError(f"got {batch.dtype} {batch.shape}, wanted uint8 of shape (B, H, W, 3)")
    pixels = torch.from_numpy(np.require(batch, requirements=["C", "W"])).permute(0, 3, 1, 2)
    return pixels.to(torch.float32, memory_format=torch.contiguous_format).div_(127.5).sub_(1.0)


def to_uint8(x_BCHW: Tensor) -> np.ndarray:
    """Pixels inside (B 3 H W, -1..1, clamped) to pictures outside: uint8, B H W 3, 0..255."""
    scaled = x_BCHW.detach().to("cpu", torch.float32).add(1.0).mul_(127.5).round_().clamp_(0, 255)
    return scaled.to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def to_pil(x_BCHW: Tensor) -> list[Image.Image]:
    """Pixels inside (B 3 H W, -1..1, clamped) to a list of B RGB images."""
    return [Image.fromarray(array) for array in to_uint8(x_BCHW)]


def _to_array(item: Image.Image | np.ndarray) -> np.ndarray:
    return np.asarray(item.convert("RGB")) if isinstance(item, Image.Image) else item
