"""What a file says beside its pixels never decides whether they are read."""

import io
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
from picture_files import (
    chunk,
    encode,
    icc_chunk,
    noise,
    srgb_profile,
    swapped_profile,
    with_chunks,
)
from PIL import Image

from ufc.io.png.metadata import read_metadata
from ufc.io.validation import RequestError
from ufc_base.formats.containers import MOST_INFLATED, split
from ufc_base.images import ImageError, load_image, load_mask, load_original

BAD_EXIF = b"Exif\0\0not a directory"
PICTURE = noise(20, 10)


def padded(profile: bytes, size: int) -> bytes:
    """A profile of `size` bytes that means the same."""
    grown = profile.ljust(size, b"\0")
    return struct.pack(">I", len(grown)) + grown[4:]


def png_with(*chunks: bytes) -> bytes:
    return with_chunks(encode(PICTURE), *chunks)


@pytest.mark.parametrize(
    "said",
    [
        icc_chunk(bytes(1_100_000)),
        icc_chunk(bytes(9 * 2**20)),  # longer than any that is inflated
        chunk(b"iCCP", b"p\0\0damaged"),
        chunk(b"iCCP", b""),
        chunk(b"zTXt", b"parameters\0\0" + zlib.compress(b"a" * 1_100_000)),
        chunk(b"iTXt", b"parameters\0\1\0\0\0" + zlib.compress(b"a" * 1_100_000)),
        chunk(b"tEXt", b"parameters\0" + b"a" * 1_100_000),
        chunk(b"eXIf", b"not a directory"),
        chunk(b"tEXt", b"parameters\0a")[:-4] + b"\0\0\0\0",  # a wrong checksum
        chunk(b"gAMA", b""),
        chunk(b"pHYs", b"\0"),
        chunk(b"sRGB", b""),
        chunk(b"cHRM", b"\0\0"),
        chunk(b"acTL", b"\0"),
    ],
)
def test_sound_pixels_of_a_png_are_read(said):
    assert load_image(png_with(said)).tobytes() == PICTURE.tobytes()


def test_a_long_profile_counts():
    data = png_with(icc_chunk(padded(swapped_profile(), 1_100_000)))
    exact = np.asarray(PICTURE, int)[..., ::-1]
    assert np.abs(np.asarray(load_image(data), int) - exact).max() <= 2
    original = load_original(data)
    assert original.tobytes() == PICTURE.tobytes()
    assert len(original.info["icc_profile"]) == 1_100_000


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_unreadable_exif(format):
    lossless = {"lossless": True} if format == "WEBP" else {}
    plain = encode(PICTURE, format, **lossless)
    data = encode(PICTURE, format, exif=BAD_EXIF, **lossless)
    assert load_image(data).tobytes() == load_image(plain).tobytes()
    assert read_metadata(io.BytesIO(data)).parameters is None


def test_a_jpeg_whose_decoder_gives_up_over_what_is_said(monkeypatch):
    """The pixels are asked for again, alone; they are the same, and so is their orientation."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(PICTURE, "JPEG", exif=exif.tobytes(), icc_profile=swapped_profile(), quality=95)
    whole = load_image(data)
    from PIL import JpegImagePlugin

    def fail(self: object, mark: int) -> None:
        raise SyntaxError("broken")

    for mark in (0xFFE1, 0xFFE2):
        monkeypatch.setitem(JpegImagePlugin.MARKER, mark, ("APP", "", fail))
    assert whole.size == (10, 20)
    assert load_image(data).tobytes() == whole.tobytes()


def test_webp_and_jpeg_are_split():
    for format in ("WEBP", "JPEG"):
        exif = Image.Exif()
        exif[0x0112] = 3
        data = encode(PICTURE, format, exif=exif.tobytes(), icc_profile=srgb_profile(), quality=90)
        parts = split(data)
        assert parts is not None
        assert parts.profile == srgb_profile() and parts.exif is not None
        bare = encode(PICTURE, format, quality=90)
        assert load_image(parts.pixels).tobytes() == load_image(bare).tobytes()
        assert b"ICC" not in parts.pixels and b"EXIF" not in parts.pixels.upper()


def test_texts_are_bounded():
    bomb = zlib.compress(bytes(MOST_INFLATED + 1))
    parts = split(png_with(chunk(b"zTXt", b"a\0\0" + bomb), chunk(b"tEXt", b"b\0c")))
    assert parts is not None and parts.texts == {"b": "c"}


def test_pixels_cut_short_are_still_refused():
    data = encode(PICTURE)
    for end in (60, len(data) // 2, len(data) - 40):
        with pytest.raises(ImageError, match=r"cannot be read|not a picture"):
            load_image(with_chunks(data[:end], chunk(b"eXIf", b"bad")))


@pytest.mark.parametrize("seed", range(40))
def test_any_damage_ends_in_a_picture_or_in_one_line(seed):
    rng = np.random.default_rng(seed)
    format = ("PNG", "JPEG", "WEBP", "TIFF")[seed % 4]
    exif = Image.Exif()
    exif[0x0112] = 5
    whole = encode(PICTURE, format, exif=exif.tobytes(), icc_profile=srgb_profile())
    data = bytearray(whole)
    for at in rng.integers(0, len(data), 6):
        data[at] = rng.integers(256)
    with suppress(ImageError):
        assert load_image(bytes(data)).mode == "RGB"
    with suppress(RequestError):
        read_metadata(io.BytesIO(data))


# Ranges


def tiff(values: np.ndarray) -> bytes:
    return encode(Image.fromarray(values), "TIFF")


def grey(data: bytes) -> list[int]:
    return np.asarray(load_image(data))[..., 0].flatten().tolist()


@pytest.mark.parametrize("stray", [1.0001, 2.0, np.inf, np.nan, -5.0])
def test_one_stray_pixel_of_a_float_picture(stray):
    values = np.linspace(0, 1, 400, dtype=np.float32).reshape(20, 20)
    right = np.rint(values * 255).astype(int).flatten().tolist()
    values[3, 3] = stray
    got = grey(tiff(values))
    right[63] = 255 if stray > 1 else 0
    assert got == right


def test_a_far_stray_does_not_make_a_picture_black():
    values = np.linspace(0, 1, 400, dtype=np.float32).reshape(20, 20)
    values[0, 0] = 60_000
    assert grey(tiff(values))[200] == round(float(values.flat[200]) * 255)
    whole = np.arange(4000, dtype=np.int32).reshape(40, 100) % 256
    whole[0, 0] = 2**31 - 1
    assert grey(tiff(whole))[1:] == whole.flatten().tolist()[1:]


def test_usual_ranges_are_still_found():
    assert grey(tiff(np.array([[0, 127.5, 255]], np.float32))) == [0, 128, 255]
    assert grey(tiff(np.array([[0, 32768, 65535]], np.int32))) == [0, 128, 255]
    assert grey(tiff(np.zeros((2, 2), np.float32))) == [0] * 4


# Orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_orientation_is_applied_exactly_once(orientation, format):
    """The stored pixels are the picture turned back; whoever reads them sees it upright."""
    upright = Image.new("RGB", (24, 16), "white")
    upright.paste((200, 0, 0), (0, 0, 8, 8))
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the inverse, as Pillow counts them
    stored = upright.transpose(Image.Transpose(back[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}
    data = encode(stored, format, exif=exif.tobytes(), **options.get(format, {}))

    def off(image: Image.Image) -> int:
        assert image.size == (24, 16)
        return int(np.abs(np.asarray(image.convert("RGB"), int) - np.asarray(upright, int)).max())

    opened = Image.open(io.BytesIO(data))
    once = load_image(data)
    for image in (once, load_image(once), load_original(data), load_image(opened),
                  load_image(opened.convert("RGB"))):  # fmt: skip
        assert off(image) < 12
    mask = np.asarray(load_mask(data))
    assert mask.shape == (16, 24) and mask[0, 23] == 255 and mask[0, 0] == 0
