"""Pictures and masks that are given as numbers: numpy arrays and tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import numpy as np
from PIL import Image

from ufc_base.visible_text import OneLineError

if TYPE_CHECKING:
    from torch import Tensor

Numbers: TypeAlias = "np.ndarray | Tensor"

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # by channels
_ROUNDING = 1e-3  # of floats, as arithmetic leaves it
_WANTED = "uint8 or float 0..1, an array of shape (H, W, 3) or a tensor of shape (3, H, W)"
_WANTED_MASK = "bool, 0/1, 0..255 or float 0..1, of shape (H, W)"


class ImageError(OneLineError):
    """A picture or mask that cannot be used; the message is one line for the person who gave it."""


def is_numbers(value: Any) -> TypeGuard[Numbers]:
    """Whether a value is an array or a tensor; the latter without importing torch."""
    return isinstance(value, np.ndarray) or (hasattr(value, "detach") and hasattr(value, "ndim"))


def picture_of(numbers: Numbers) -> Image.Image:
    """A picture, L, RGB or RGBA, from an array (H, W[, C]) or a tensor ([C,] H, W).

    Values are uint8, or float from 0 to 1.

    Raises:
        ImageError: another shape, type or range.
    """
    values = _channels_last(numbers, _WANTED)
    if np.issubdtype(values.dtype, np.floating):
        low, high = _range(values)
        if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):
            hint = "; add 1 and divide by 2" if low >= -1 and high <= 1 else ""
            raise ImageError(f"got {values.dtype} from {low:g} to {high:g}, wanted 0..1{hint}")
        values = np.rint(values.clip(0, 1) * 255.0).astype(np.uint8)
    if values.dtype != np.uint8:
        raise ImageError(f"got {values.dtype}, wanted {_WANTED}")
    return _image(values)


def mask_of(numbers: Numbers) -> Image.Image:
    """A mask, grey, from an array (H, W[, C]) or a tensor ([C,] H, W); what is True is white.

    Raises:
        ImageError: another shape, values that are no numbers, or some below 0.
    """
    values = _channels_last(numbers, _WANTED_MASK)
    if values.dtype == np.bool_:
        return _image(values.astype(np.uint8) * 255)
    if values.dtype == np.uint8:
        return _image(values)
    if not np.issubdtype(values.dtype, np.number) or np.iscomplexobj(values):
        raise ImageError(f"got {values.dtype}, wanted {_WANTED_MASK}")
    low, high = _range(values)
    if not 0 <= low <= high <= 255:
        raise ImageError(f"got {values.dtype} from {low:g} to {high:g}, wanted {_WANTED_MASK}")
    scaled = values.astype(np.float64) * (255.0 if high <= 1 else 1.0)
    return _image(np.rint(scaled).astype(np.uint8))


def _channels_last(numbers: Numbers, wanted: str) -> np.ndarray:
    """(H, W, C), C of 1, 3 or 4."""
    if not isinstance(numbers, np.ndarray):
        tensor = numbers.detach().cpu()
        values = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
        values = np.moveaxis(values, 0, -1) if values.ndim == 3 else values
    else:
        values = numbers
    shape = tuple(numbers.shape)
    values = values[..., None] if values.ndim == 2 else values
    if values.ndim == 4:
        raise ImageError(f"got a batch of shape {shape}, wanted a list of pictures: give list(…)")
    if values.ndim != 3 or values.shape[-1] not in _MODES:
        raise ImageError(f"got {numbers.dtype} of shape {shape}, wanted {wanted}")
    if 0 in values.shape:
        raise ImageError(f"is empty: got shape {shape}")
    return values


def _range(values: np.ndarray) -> tuple[float, float]:
    """Least and greatest value; NaN where one is among them."""
    return float(values.min()), float(values.max())


def _image(values_HWC: np.ndarray) -> Image.Image:
    channels = values_HWC.shape[-1]
    plane = values_HWC[..., 0] if channels == 1 else values_HWC
    return Image.fromarray(np.ascontiguousarray(plane))
