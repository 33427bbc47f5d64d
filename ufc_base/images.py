"""The one pixel convention, and the only door through which untrusted image files come in.

Outside the models a picture is uint8, H W 3 (or a PIL image), 0..255; inside it is float32,
B 3 H W, -1..1. Masks are PIL `L` images of 0 and 255: white is to be drawn anew, black is kept.
What a file says beside its pixels never decides whether they are read.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
import torch
from PIL import ExifTags, Image
from torch import Tensor

from ufc_base.arrays import ImageError, mask_of, picture_of
from ufc_base.containers import split
from ufc_base.profiles import PROFILE, in_srgb, sound_profile, to_srgb

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
    "read_picture",
    "resize_mask",
    "square_fit",
    "to_pil",
    "to_tensor",
    "to_uint8",
]

ImageSource: TypeAlias = (
    "str | os.PathLike[str] | bytes | BinaryIO | Image.Image | np.ndarray | Tensor"
)
Pictures: TypeAlias = "Image.Image | np.ndarray | Sequence[Image.Image] | Sequence[np.ndarray]"

MAX_PIXELS = 64 * 1024 * 1024  # decoded pixels; above any phone's camera, below PIL's own alarm
WHITE = (255, 255, 255)

# Only formats that decode in-process: no EPS (runs Ghostscript), no format without a signature.
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "ICO", "JPEG2000", "AVIF")
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # by EXIF orientation


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


def load_image(source: ImageSource, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Read any ordinary picture as an upright 8-bit RGB image, in sRGB.

    16-bit, CMYK, Lab, palette and grey pictures are converted, by their colour profile where they
    carry a sound one; alpha is composited on white, the EXIF orientation is applied, and of an
    animation the first frame is taken. `source` is a path, the bytes of a file, an open binary
    file, a PIL image, an array (H, W, 3) or a tensor (3, H, W), uint8 or float 0..1; it is never
    changed. The image that comes back has an empty `info`.

    Raises:
        ImageError: missing, unreadable, truncated or empty file, or more than `max_pixels`.
    """
    return to_srgb(load_original(source, max_pixels=max_pixels))


def load_original(source: ImageSource, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """`load_image`, but an RGB picture keeps its own numbers, and its profile in `info`.

    What has no numbers in RGB of its own (grey, CMYK or Lab with a profile) comes in sRGB.
    """
    image = _decode(source, max_pixels)
    grey = image.mode.startswith(("I", "F", "L", "1")) and image.mode != "LAB"
    direct = in_srgb(image) if image.mode in ("CMYK", "LAB") else None
    if direct is not None:
        return direct
    flat = _on_background(image, WHITE)
    flat.info = {PROFILE: image.info.get(PROFILE)}
    if grey:
        plane = flat.getchannel(0)
        plane.info = flat.info
        direct = in_srgb(plane)
        if direct is not None:
            return direct
    profile = None if image.mode in ("CMYK", "LAB") else sound_profile(flat)
    flat.info = {} if profile is None else {PROFILE: profile}
    return flat


def load_mask(
    source: ImageSource, *, invert: bool = False, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """Read a mask as an `L` image of 0 (keep) and 255 (draw anew), cut in the middle of its range.

    Anything `load_image` reads will do, and arrays of bool or of 0 and 1; a mask whose greatest
    value is 1 has 1 for white. Alpha is composited on black, so that white strokes on a
    transparent canvas mean what they look like. `invert` exchanges the two colours first.

    Raises:
        ImageError: as `load_image`, or nothing is white of a mask that is not all black.
    """
    given = mask_of(source) if isinstance(source, np.ndarray | Tensor) else source
    image = _decode(given, max_pixels)
    if image.mode.startswith(("I", "F")):
        values = np.nan_to_num(np.asarray(image, np.float64), posinf=0.0, neginf=0.0)
    else:
        values = np.asarray(_on_background(image, (0, 0, 0)).convert("L"))
    peak = float(values.max())
    top = next((top for top in (1.0, 255.0, 65535.0) if peak <= top * 1.1), peak)
    white = values > top / 2
    if not white.any() and peak > 0:
        raise ImageError(
            f"{_name_of(given)}: nothing in this mask is white: its values are "
            f"{values.min():g} to {peak:g}, wanted 0 and 255, or 0 and 1"
        )
    return Image.fromarray(np.where(white ^ invert, np.uint8(255), np.uint8(0)))


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


def _decode(source: ImageSource, max_pixels: int) -> Image.Image:
    """Decoded wholly and upright; any mode. What is not said of the pixels is still in `info`."""
    if isinstance(source, np.ndarray | Tensor):
        source = picture_of(source)
    return _upright(read_picture(source, max_pixels=max_pixels))


def read_picture(source: ImageSource, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """A picture as it is stored: any mode, not turned, with what it says of itself in `info`.

    Its size is checked before it is decoded. Where the decoder fails, it is asked again for the
    pixels alone.

    Raises:
        ImageError: as `load_image`.
    """
    name = _name_of(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PIL's size alarm; the limit below is ours
            if isinstance(source, Image.Image):
                return _decode_open(source, name, max_pixels)
            try:
                file = io.BytesIO(source) if isinstance(source, bytes) else source
                with Image.open(file, formats=_formats()) as image:  # type: ignore[arg-type]
                    return _decode_open(image, name, max_pixels)
            except (ImageError, FileNotFoundError, IsADirectoryError, PermissionError):
                raise
            except Exception:
                bare = _decode_bare(source, name, max_pixels)
                if bare is None:
                    raise
                return bare
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError(f"{name}: no such file{_hint(name)}") from None
    except IsADirectoryError:
        raise ImageError(f"{name}: is a folder, wanted a picture file") from None
    except PermissionError:
        raise ImageError(f"{name}: no permission to read it") from None
    except Image.UnidentifiedImageError:
        raise ImageError(
            f"{name}: not a picture this program reads; convert it to PNG or JPEG"
        ) from None
    except Image.DecompressionBombError:
        raise ImageError(f"{name}: has far too many pixels; shrink it first") from None
    except MemoryError:
        raise ImageError(f"{name}: too large for this machine's memory; shrink it first") from None
    except Exception as error:  # decoders raise anything at all on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{name}: cannot be read, truncated or damaged ({reason})") from None


def _decode_bare(source: ImageSource, name: str, max_pixels: int) -> Image.Image | None:
    """The pixels of a file without what is said beside them; None where there are none."""
    try:
        parts = split(_bytes_of(source))
        if parts is None:
            return None
        with Image.open(io.BytesIO(parts.pixels), formats=_formats()) as image:
            decoded = _decode_open(image, name, max_pixels)
    except ImageError:
        raise
    except Exception:  # the first error is the one to tell
        return None
    said = {PROFILE: parts.profile, "exif": parts.exif, **parts.texts}
    decoded.info |= {key: value for key, value in said.items() if value is not None}
    return decoded


def _bytes_of(source: ImageSource) -> bytes:
    if isinstance(source, bytes):
        return source
    if isinstance(source, str | os.PathLike):
        return Path(source).read_bytes()
    assert not isinstance(source, Image.Image | np.ndarray | Tensor)
    source.seek(0)
    return source.read()


def _decode_open(image: Image.Image, name: str, max_pixels: int) -> Image.Image:
    width, height = image.size
    if width < 1 or height < 1:
        raise ImageError(f"{name}: is empty ({width} x {height} pixels)")
    if width * height > max_pixels:
        raise ImageError(
            f"{name}: has {width} x {height} pixels, more than the {max_pixels:,} allowed; "
            "shrink it first"
        )
    image.load()
    return image


def _upright(image: Image.Image) -> Image.Image:
    """The picture turned as its EXIF says; one whose EXIF cannot be read lies as it is."""
    try:
        method = _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # anything at all on damaged EXIF
        method = None
    return image if method is None else image.transpose(method)


def _on_background(image: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    """Any mode to RGB, alpha composited on `colour`."""
    if image.mode.startswith(("I", "F")):
        image = _deep_to_grey(image)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        canvas = Image.new("RGBA", rgba.size, (*colour, 255))
        return Image.alpha_composite(canvas, rgba).convert("RGB")
    try:
        return image.convert("RGB")
    except ValueError:
        raise ImageError(f"pictures of mode {image.mode} are not read; convert to RGB") from None


def _deep_to_grey(image: Image.Image) -> Image.Image:
    """16-bit, 32-bit and float grey to `L`, scaled by the range that the mode or values imply."""
    values = np.asarray(image, dtype=np.float64)
    top = _top(image, values)
    scaled = np.nan_to_num(values * (255.0 / top), posinf=255.0, neginf=0.0)
    return Image.fromarray(np.clip(np.rint(scaled), 0, 255).astype(np.uint8))


def _top(image: Image.Image, values: np.ndarray) -> float:
    """The value that is white, as nearly all values have it: a few stray ones do not count.

    A float picture that goes somewhat over 1 is one of high dynamic range, and is cut.
    """
    if image.mode.startswith("I;16") or image.format == "PPM":  # PPM: scaled by its reader
        return 65535.0
    lit = values[np.isfinite(values) & (values > 0)]
    if not lit.size:
        return 1.0
    tops, over = ((1.0, 255.0, 65535.0), 4.0) if image.mode == "F" else ((255.0, 65535.0), 1.1)
    high = float(np.quantile(lit, 0.99 if image.mode == "F" else 0.999, method="lower"))
    return next((top for top in tops if high <= top * over), high)


def _formats() -> list[str]:
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def _name_of(source: ImageSource) -> str:
    if isinstance(source, Image.Image | bytes | np.ndarray | Tensor):
        return "image"
    if isinstance(source, str | os.PathLike):
        return str(source)
    name = getattr(source, "name", None)
    return Path(name).name if isinstance(name, str) else "image"


def _hint(name: str) -> str:
    return "; download it first" if name.startswith(("http://", "https://")) else ""
