"""The only door through which untrusted picture files come in; nothing here needs torch.

What a file says beside its pixels never decides whether they are read.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeAlias, cast

import numpy as np
from PIL import ExifTags, Image

from ufc_base.arrays import ImageError, Numbers, is_numbers, mask_of, picture_of
from ufc_base.formats.containers import split
from ufc_base.profiles import PROFILE, in_srgb, sound_profile, to_srgb

ImageFile: TypeAlias = "str | os.PathLike[str] | bytes | BinaryIO"
ImageSource: TypeAlias = "ImageFile | Image.Image | Numbers"

MAX_PIXELS = 64 * 1024 * 1024  # decoded pixels; above any phone's camera, below PIL's own alarm
MAX_SCANS = 100  # of a JPEG; a progressive one has about ten, and each goes over all pixels
BAND = 4 * 1024 * 1024  # pixels that are calculated with at a time
WHITE = (255, 255, 255)

# Only formats that decode in-process: no EPS (runs Ghostscript), no format without a signature.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "ICO", "JPEG2000", "AVIF")
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # by EXIF orientation


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
    with _as_image_error(source):
        return to_srgb(load_original(source, max_pixels=max_pixels))


def load_original(source: ImageSource, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """`load_image`, but an RGB picture keeps its own numbers, and its profile in `info`.

    What has no numbers in RGB of its own (grey, CMYK or Lab with a profile) comes in sRGB.
    """
    with _as_image_error(source):
        return _own_colours(_decode(source, max_pixels))


def _own_colours(image: Image.Image) -> Image.Image:
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
    """Read a mask as an `L` image of 0 (keep) and 255 (regenerate), cut in the middle of its range.

    Anything `load_image` reads will do, and arrays of bool or of 0 and 1; a mask whose greatest
    value is 1 has 1 for white. Alpha is composited on black, so that white strokes on a
    transparent canvas mean what they look like. `invert` exchanges the two colours first.

    Raises:
        ImageError: as `load_image`, or nothing is white of a mask that is not all black.
    """
    given = mask_of(source) if is_numbers(source) else source
    with _as_image_error(given):
        return _black_and_white(_decode(given, max_pixels), _name_of(given), invert)


def _black_and_white(image: Image.Image, name: str, invert: bool) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        values = np.array(image, np.float32)
        np.nan_to_num(values, copy=False, posinf=0.0, neginf=0.0)
    else:
        values = np.asarray(_on_background(image, (0, 0, 0)).convert("L"))
    peak = float(values.max())
    top = next((top for top in (1.0, 255.0, 65535.0) if peak <= top * 1.1), peak)
    white = values > top / 2
    if not white.any() and peak > 0:
        raise ImageError(
            f"{name}: nothing in this mask is white: its values are "
            f"{values.min():g} to {peak:g}, wanted 0 and 255, or 0 and 1"
        )
    return Image.fromarray(np.where(white ^ invert, np.uint8(255), np.uint8(0)))


@contextmanager
def _as_image_error(source: ImageSource) -> Iterator[None]:
    """What decoders leave unsound, such as a palette that is none, may fail when it is used."""
    try:
        yield
    except ImageError:
        raise
    except MemoryError:
        raise ImageError(
            f"{_name_of(source)}: too large for this machine's memory; shrink it first"
        ) from None
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ImageError(f"{_name_of(source)}: cannot be read, damaged ({reason})") from None


def _decode(source: ImageSource, max_pixels: int) -> Image.Image:
    """Decoded wholly and upright; any mode. What is not said of the pixels is still in `info`."""
    given = picture_of(source) if is_numbers(source) else cast("ImageFile | Image.Image", source)
    return _upright(read_picture(given, max_pixels=max_pixels))


def read_picture(source: ImageFile | Image.Image, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
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
                with Image.open(file, formats=_formats()) as image:
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


def _decode_bare(source: ImageFile, name: str, max_pixels: int) -> Image.Image | None:
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


def _bytes_of(source: ImageFile) -> bytes:
    if isinstance(source, bytes):
        return source
    if isinstance(source, str | os.PathLike):
        return Path(source).read_bytes()
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
    scans = _scans(image)
    if scans > MAX_SCANS:
        raise ImageError(
            f"{name}: has {scans:,} scans, more than the {MAX_SCANS} allowed; save it again as a "
            "plain JPEG"
        )
    image.load()
    if image.width * image.height > max_pixels:  # an ICO says the size of what is in it only now
        raise ImageError(
            f"{name}: has more than the {max_pixels:,} pixels allowed; shrink it first"
        )
    return image


def _scans(image: Image.Image) -> int:
    """How often the decoder goes over the pixels of a JPEG that is open; 0 of other formats."""
    file = getattr(image, "fp", None)
    if image.format not in ("JPEG", "MPO") or file is None:
        return 0
    place = file.tell()
    file.seek(0)
    count, last = 0, b""
    while piece := file.read(2**20):
        count += (last + piece).count(b"\xff\xda")  # a mark: within pixels ff is followed by 00
        last = piece[-1:]
    file.seek(place)
    return count


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
    top = _top(image)
    out = np.empty((image.height, image.width), np.uint8)
    for start, values in _bands(image):
        scaled = np.nan_to_num(values * (255.0 / top), posinf=255.0, neginf=0.0)
        out[start : start + len(values)] = np.clip(np.rint(scaled), 0, 255)
    return Image.fromarray(out)


def _bands(image: Image.Image) -> Iterator[tuple[int, np.ndarray]]:
    """A picture's values as float64, some rows at a time: as a whole they take half a gigabyte."""
    rows = max(1, BAND // image.width)
    for start in range(0, image.height, rows):
        band = image.crop((0, start, image.width, min(start + rows, image.height)))
        yield start, np.asarray(band, dtype=np.float64)


def _top(image: Image.Image) -> float:
    """The value that is white, as nearly all values have it: a few stray ones do not count.

    A float picture that goes somewhat over 1 is one of high dynamic range, and is cut.
    """
    if image.mode.startswith("I;16") or image.format == "PPM":  # PPM: scaled by its reader
        return 65535.0
    bands = [v[np.isfinite(v) & (v > 0)].astype(np.float32) for _, v in _bands(image)]
    lit = np.concatenate(bands)
    if not lit.size:
        return 1.0
    tops, over = ((1.0, 255.0, 65535.0), 4.0) if image.mode == "F" else ((255.0, 65535.0), 1.1)
    high = float(np.quantile(lit, 0.99 if image.mode == "F" else 0.999, method="lower"))
    return next((top for top in tops if high <= top * over), high)


def _formats() -> list[str]:
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _name_of(source: ImageSource) -> str:
    if isinstance(source, Image.Image | bytes) or is_numbers(source):
        return "image"
    if isinstance(source, str | os.PathLike):
        return str(source)
    name = getattr(source, "name", None)
    return Path(name).name if isinstance(name, str) else "image"


def _hint(name: str) -> str:
    return "; download it first" if name.startswith(("http://", "https://")) else ""
