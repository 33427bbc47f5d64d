"""Untrusted picture files in, the one pixel convention out."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from toy_data import bomb_png

from ufc_base.images import (
    ImageError,
    fit_mask,
    fit_square,
    load_image,
    load_mask,
    match_mask,
    square_fit,
    to_pil,
    to_tensor,
    to_uint8,
)

RED = (200, 30, 40)


def encode(image: Image.Image, format: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def gradient(width: int = 40, height: int = 30) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], -1)
    return Image.fromarray(pixels.astype(np.uint8))


def test_round_trip_keeps_every_value():
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    pixels = np.stack([values, values[::-1], values.T], -1)
    tensor = to_tensor(pixels)
    assert tensor.shape == (1, 3, 16, 16) and tensor.dtype == torch.float32
    assert tensor.min() == -1 and tensor.max() == 1
    assert np.array_equal(to_uint8(tensor)[0], pixels)
    assert np.array_equal(np.asarray(to_pil(tensor)[0]), pixels)


def test_to_tensor_takes_one_many_and_arrays():
    picture = gradient(8, 8)
    array = np.asarray(picture)
    one = to_tensor(picture)
    assert torch.equal(to_tensor([picture, picture])[1:], one)
    assert torch.equal(to_tensor([array]), one)
    assert torch.equal(to_tensor(array[None]), one)


def test_to_tensor_refuses_what_is_not_a_batch():
    with pytest.raises(ImageError, match="8 x 8 and 9 x 8"):
        to_tensor([gradient(8, 8), gradient(9, 8)])
    with pytest.raises(ImageError, match="no picture"):
        to_tensor([])
    with pytest.raises(ImageError, match="wanted uint8"):
        to_tensor(np.zeros((4, 4, 3), np.float32))


def test_out_of_range_pixels_are_clamped():
    x = torch.tensor([-3.0, 0.0, 3.0]).view(1, 3, 1, 1)
    assert to_uint8(x).tolist() == [[[[0, 128, 255]]]]


@pytest.mark.parametrize("kind", ["path", "bytes", "file", "pil"])
def test_every_kind_of_source(kind, tmp_path):
    picture = gradient()
    data = encode(picture)
    path = tmp_path / "a.png"
    path.write_bytes(data)
    source = {"path": path, "bytes": data, "file": io.BytesIO(data), "pil": picture}[kind]
    loaded = load_image(source)
    assert loaded.mode == "RGB" and loaded.tobytes() == picture.tobytes()


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "YCbCr", "LA", "RGBA", "HSV"])
def test_modes_are_converted(mode):
    loaded = load_image(Image.new("RGB", (5, 4), "white").convert(mode))
    assert loaded.mode == "RGB" and loaded.getpixel((2, 2)) == (255, 255, 255)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_deep_grey_is_scaled_not_clipped(dtype):
    top = 1.0 if dtype is np.float32 else 65535
    values = np.array([[0, top / 2, top]], dtype)
    loaded = load_image(encode(Image.fromarray(values), "TIFF"))
    assert [loaded.getpixel((x, 0))[0] for x in range(3)] == [0, pytest.approx(127.5, abs=0.6), 255]


def test_sixteen_bit_png():
    loaded = load_image(encode(Image.fromarray(np.array([[0, 32768, 65535]], np.uint16))))
    assert [loaded.getpixel((x, 0)) for x in range(3)] == [(0,) * 3, (128,) * 3, (255,) * 3]


def test_cmyk_jpeg():
    loaded = load_image(encode(Image.new("RGB", (16, 16), RED).convert("CMYK"), "JPEG"))
    assert np.abs(np.asarray(loaded, int) - RED).max() < 12


def test_alpha_is_composited_on_white():
    picture = Image.new("RGBA", (2, 1), (0, 0, 0, 255))
    picture.putpixel((1, 0), (0, 0, 0, 0))
    loaded = load_image(encode(picture))
    assert [loaded.getpixel((x, 0)) for x in (0, 1)] == [(0, 0, 0), (255, 255, 255)]


def test_palette_transparency_is_composited():
    picture = Image.new("P", (2, 1))
    picture.putpalette([0, 0, 0, *RED])
    picture.putpixel((1, 0), 1)
    loaded = load_image(encode(picture, transparency=0))
    assert [loaded.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), RED]


def test_exif_rotation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # shown a quarter turn clockwise
    loaded = load_image(encode(gradient(40, 30), "JPEG", exif=exif.tobytes()))
    assert loaded.size == (30, 40)


def test_first_frame_of_an_animation():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    loaded = load_image(encode(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert loaded.getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("side", [9_000, 12_000, 60_000])
def test_decompression_bomb_is_refused_before_decoding(side, recwarn):
    with pytest.raises(ImageError, match="pixels") as caught:
        load_image(bomb_png(side, side))
    assert "\n" not in str(caught.value) and not recwarn.list


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_truncated_files_are_refused(format):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = encode(Image.fromarray(noise), format)
    for share in (0.3, 0.7):
        with pytest.raises(ImageError) as caught:
            load_image(data[: int(len(data) * share)])
        assert "\n" not in str(caught.value)


def test_unreadable_sources_say_why(tmp_path):
    text = tmp_path / "notes.png"
    text.write_text("not a picture")
    empty = tmp_path / "empty.png"
    empty.touch()
    for source, reason in [
        (text, "not a picture"),
        (empty, "not a picture"),
        (tmp_path / "gone.png", "no such file"),
        (tmp_path, "is a folder"),
        ("https://example.org/a.png", "download it first"),
    ]:
        with pytest.raises(ImageError, match=reason):
            load_image(source)


def test_scripts_posing_as_pictures_are_not_run(tmp_path):
    script = tmp_path / "a.png"
    script.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")
    with pytest.raises(ImageError, match="not a picture"):
        load_image(script)


def test_masks_are_thresholded_and_inverted():
    grey = Image.fromarray(np.array([[0, 127, 128, 255]], np.uint8))
    assert list(load_mask(grey).tobytes()) == [0, 0, 255, 255]
    assert list(load_mask(grey, invert=True).tobytes()) == [255, 255, 0, 0]


def test_white_strokes_on_a_transparent_mask():
    mask = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    mask.putpixel((0, 0), (255, 255, 255, 255))
    assert list(load_mask(mask).tobytes()) == [255, 0]


@pytest.mark.parametrize("width", [1, 3])
def test_thin_strokes_of_a_large_mask_are_not_lost(width):
    """Every block that a stroke touches is regenerated, whichever size the mask comes in."""
    for at in range(0, 96):
        mask = Image.new("L", (1000, 1000), 0)
        mask.paste(255, (at, 0, at + width, 1000))
        small = np.array(fit_mask(match_mask(mask, (500, 500)), 64))
        columns = (small == 255).all(0).nonzero()[0]
        assert len(columns) in (1, 2) and abs(columns - at * 64 / 1000).max() <= 1
        assert (small > 0).any(0).sum() == len(columns)


def test_masks_must_have_the_proportions_of_their_image():
    mask = Image.new("L", (50, 38), 255)
    assert match_mask(mask, (101, 77)).size == (101, 77)
    assert match_mask(Image.new("L", (8, 8)), (64, 64)).size == (64, 64)
    with pytest.raises(ImageError, match=r"50 x 38.*101 x 101"):
        match_mask(mask, (101, 101))


def test_fit_square_pads_with_white_and_keeps_proportions():
    square = fit_square(Image.new("RGB", (60, 80), RED), 64)
    assert square.size == (64, 64)
    assert square.getpixel((7, 32)) == (255, 255, 255) and square.getpixel((8, 32)) == RED
    assert square.getpixel((55, 32)) == RED and square.getpixel((56, 32)) == (255, 255, 255)


@pytest.mark.parametrize("size", [(64, 64), (60, 80), (80, 60), (97, 31), (1, 500), (3, 2)])
def test_the_content_lies_in_its_box(size):
    picture = gradient(*size)
    fit = square_fit(size, 64)
    square = fit_square(picture, 64)
    assert square.crop(fit.box).size == (fit.inner_width, fit.inner_height)
    if size == (64, 64):
        assert fit.exact and square.tobytes() == picture.tobytes()


def test_fitting_a_long_thin_picture_needs_no_huge_square():
    assert fit_square(Image.new("L", (60_000, 2)), 64).size == (64, 64)


def test_fit_mask_lines_up_with_fit_square():
    mask = fit_mask(Image.new("L", (60, 80), 255), 64)
    fit = square_fit((60, 80), 64)
    assert mask.getbbox() == fit.box and set(mask.tobytes()) == {0, 255}
