"""Colour profiles: sRGB for the model, the picture's own numbers and profile in what comes back."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from picture_files import (
    encode,
    noise,
    srgb_profile,
    swapped_profile,
    table_profile,
    wide_profile,
)
from PIL import Image, ImageCms

from ufc.pipeline import UFCPipeline
from ufc_base.images import fit_square, load_image, load_original
from ufc_base.profiles import foreign_profile, in_profile, to_srgb

OWN = noise(16, 16, seed=3)
SWAPPED = np.ascontiguousarray(np.asarray(OWN)[..., ::-1])


def profiled(image: Image.Image, profile: bytes) -> Image.Image:
    image = image.copy()
    image.info["icc_profile"] = profile
    return image


def differ(one: Image.Image, other: object) -> int:
    return int(np.abs(np.asarray(one, int) - np.asarray(other, int)).max())


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_a_profile_that_swaps_colours(format):
    options = {"lossless": True} if format == "WEBP" else {}
    data = encode(OWN, format, icc_profile=swapped_profile(), **options)
    seen = load_image(data)
    assert differ(seen, SWAPPED) <= 2 and seen.info == {}
    own = load_original(data)
    assert own.tobytes() == OWN.tobytes()
    assert own.info == {"icc_profile": swapped_profile()}
    assert load_image(own).tobytes() == seen.tobytes()  # once, however often it is loaded
    assert load_image(seen).tobytes() == seen.tobytes()


def test_a_wide_profile_by_its_own_arithmetic():
    """Display P3 to sRGB: the matrix of the two sets of primaries, between their common curve."""
    own = np.array([[[200, 120, 100], [90, 160, 110], [128, 128, 128], [255, 255, 255]]], np.uint8)
    v = own / 255
    linear = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
    matrix = np.array([[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]])
    mapped = np.clip(linear @ matrix.T, 0, 1)
    curve = np.where(mapped <= 0.0031308, mapped * 12.92, 1.055 * mapped ** (1 / 2.4) - 0.055)
    seen = load_image(encode(Image.fromarray(own), icc_profile=wide_profile()))
    assert differ(seen, np.rint(curve * 255)) <= 2
    assert np.asarray(seen)[0, 0, 0] > 205  # more colourful than its numbers in sRGB


def test_srgb_profiles_change_nothing():
    data = encode(OWN, icc_profile=srgb_profile())
    assert load_image(data).tobytes() == OWN.tobytes()
    assert load_original(data).info == {"icc_profile": srgb_profile()}
    assert foreign_profile(load_original(data)) is None


@pytest.mark.parametrize("profile", [b"x", bytes(200), srgb_profile()[:300], b"\xff" * 5000])
def test_broken_profiles_are_ignored(profile):
    own = load_original(encode(OWN, icc_profile=profile))
    assert own.tobytes() == OWN.tobytes() and own.info == {}
    assert load_image(profiled(OWN, profile)).tobytes() == OWN.tobytes()


def test_profiles_for_other_pixels_are_ignored():
    grey, cmyk = table_profile(b"GRAY", [(0, 128, 128), (255, 128, 128)]), lab_of_cmyk()
    for profile in (grey, cmyk):
        assert load_original(encode(OWN, icc_profile=profile)).info == {}


def lab_of_cmyk() -> bytes:
    """Inks that are none: without K cyan is a red and the other two grey; with K all is black."""
    corners = []
    for c in (0, 1):
        for my in range(4):
            for k in (0, 1):
                lab = (0, 128, 128) if k else (136, 208, 195) if c and not my else (255, 128, 128)
                corners.append(lab)
    return table_profile(b"CMYK", corners)


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_by_its_profile(format):
    """Lab (53.3, 80, 67) is sRGB's red; by the usual formula this ink would be cyan."""
    picture = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    options = {"quality": 100} if format == "JPEG" else {}
    plain = load_image(encode(picture, format, **options)).getpixel((8, 8))
    assert plain[0] < 12 and plain[1] > 240
    seen = load_original(encode(picture, format, icc_profile=lab_of_cmyk(), **options))
    assert seen.mode == "RGB" and seen.info == {}
    red, green, blue = seen.getpixel((8, 8))
    assert red > 240 and green < 30 and blue < 30


def test_lab_with_and_without_a_profile():
    lab = Image.merge("LAB", [Image.new("L", (4, 4), value) for value in (136, 208, 195)])
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for options in ({}, {"icc_profile": profile}, {"icc_profile": b"broken"}):
        red, green, blue = load_image(encode(lab, "TIFF", **options)).getpixel((1, 1))
        assert red > 240 and green < 30 and blue < 30


def test_grey_by_its_profile():
    """A scale of lightness from black to white: half of it is Lab 50, sRGB 119."""
    profile = table_profile(b"GRAY", [(0, 128, 128), (255, 128, 128)])
    for mode in ("L", "LA"):
        picture = Image.new(mode, (2, 2), (128, 255)[: len(mode)] if mode == "LA" else 128)
        value = load_image(encode(picture, icc_profile=profile)).getpixel((0, 0))
        assert max(abs(v - 119) for v in value) <= 2


def test_there_and_back():
    smooth = Image.linear_gradient("L").resize((64, 64))
    picture = Image.merge("RGB", [smooth, smooth.rotate(90), Image.new("L", (64, 64), 120)])
    there = in_profile(picture, wide_profile())
    assert there.info == {"icc_profile": wide_profile()} and differ(there, picture) > 5
    back = np.asarray(to_srgb(there), int) - np.asarray(picture, int)
    assert np.abs(back).mean() < 0.5 and np.abs(back).max() < 10  # of dark ones, by rounding
    assert in_profile(there, None).info == {}
    assert fit_square(there, 32).info == {"icc_profile": wide_profile()}


# Edits


def edited(pipe: UFCPipeline, image: object, **more: object) -> object:
    settings = {"seed": 1, "num_inference_steps": 2, "preserve_blocks": range(8)} | more
    settings["preserve_blocks"] = list(settings["preserve_blocks"])  # type: ignore[call-overload]
    return pipe("bag", image=image, **settings)  # type: ignore[arg-type]


def test_the_model_sees_srgb_and_the_edit_has_the_pictures_colours(pipeline: UFCPipeline):
    own = load_original(encode(OWN, icc_profile=swapped_profile()))
    as_srgb = load_image(own)
    mine, plain = edited(pipeline, own), edited(pipeline, as_srgb)
    assert mine.codes.tolist() == plain.codes.tolist()
    picture, srgb = np.asarray(mine.images[0], int), np.asarray(plain.images[0], int)
    assert np.array_equal(picture[:8], np.asarray(OWN)[:8])  # kept pixels are those of the upload
    assert np.abs(picture[8:] - srgb[8:, :, ::-1]).max() <= 2  # drawn ones in the upload's colours
    assert mine.images[0].info == {"icc_profile": swapped_profile()}
    assert plain.images[0].info == {}
    arrays = edited(pipeline, own, output_type="uint8").images
    assert np.array_equal(arrays[0], picture)


def test_previews_have_the_colours_too(pipeline: UFCPipeline):
    own, seen = load_original(encode(OWN, icc_profile=swapped_profile())), []
    edited(pipeline, own, callback_on_step_end=lambda p, s, t, now: seen.append(now["image"]()[0]))
    assert seen[0].info == {"icc_profile": swapped_profile()}
    assert np.array_equal(np.asarray(seen[0])[:8], np.asarray(OWN)[:8])


def test_references_are_seen_in_srgb(pipeline: UFCPipeline):
    own = profiled(OWN, swapped_profile())
    one = pipeline(reference_images=own, seed=1, num_inference_steps=2)
    two = pipeline(reference_images=load_image(own), seed=1, num_inference_steps=2)
    assert one.codes.tolist() == two.codes.tolist()
    assert pipeline.encode([own]).tolist() == pipeline.encode([load_image(own)]).tolist()


@pytest.mark.parametrize("suffix", ["png", "webp", "jpg"])
def test_files_of_an_edit_carry_the_profile(ufc, tmp_path: Path, suffix: str):
    (tmp_path / "own.png").write_bytes(encode(OWN, icc_profile=swapped_profile()))
    code, _, err = ufc("edit", "--image", "own.png", "--preserve-blocks", "0-7", "--prompt", "bag",
                       "--seed", 1, "--format", suffix)  # fmt: skip
    assert code == 0, err
    path = tmp_path / "out" / f"bag-1-0.{suffix}"
    with Image.open(path) as image:
        assert image.info["icc_profile"] == swapped_profile()
    if suffix != "jpg":
        assert np.array_equal(np.asarray(load_original(path))[:8], np.asarray(OWN)[:8])


def test_codes_are_carried_for_the_profile_they_were_made_for(pipeline: UFCPipeline):
    from ufc.io.embedded_tokens import block_record, carried_codes
    from ufc.io.png.block_record import Origin

    own = profiled(OWN, swapped_profile())
    record = block_record(pipeline, own, [1] * 16, [None] * 16, [Origin(True)] * 16)
    assert carried_codes(pipeline, own, record) == (1,) * 16
    assert carried_codes(pipeline, OWN, record) is None
    plain = block_record(pipeline, OWN, [1] * 16, [None] * 16, [Origin(True)] * 16)
    assert carried_codes(pipeline, profiled(OWN, srgb_profile()), plain) == (1,) * 16


def test_a_sheet_is_in_srgb():
    from ufc.io.contact_sheet import contact_sheet

    sheet = contact_sheet([profiled(OWN, swapped_profile())])
    assert differ(sheet.crop((2, 2, 18, 18)), SWAPPED) <= 2


def test_the_source_is_not_changed():
    own = profiled(OWN, swapped_profile())
    load_image(own)
    assert own.info == {"icc_profile": swapped_profile()} and own.tobytes() == OWN.tobytes()
    stream = io.BytesIO(encode(OWN))
    assert load_image(stream).tobytes() == OWN.tobytes()
