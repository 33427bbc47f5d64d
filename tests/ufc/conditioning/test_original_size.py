"""Edits that come back at the photograph's own size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from cli_helpers import manifest
from PIL import Image, ImageCms

from ufc.conditioning.edits.original_size import (
    changed_by_blocks,
    fade,
    grain,
    match_colours,
    part_to_see,
    prepare,
)
from ufc.io.validation import RequestError
from ufc.pipeline import UFCPipeline
from ufc_base.images import load_image, load_original


def photograph(width: int, height: int, seed: int = 0) -> Image.Image:
    """Smooth colours with a fine grain."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(40, 220, (6, 5, 3), np.uint8))
    pixels = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    noise = rng.integers(-6, 7, (height, width, 1), np.int16)
    return Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))


def hole(size: tuple[int, int], box: tuple[int, int, int, int]) -> Image.Image:
    mask = Image.new("L", size)
    mask.paste(255, box)
    return mask


@pytest.mark.parametrize("size", [(1200, 1600), (1201, 1603), (4000, 3000)])
def test_every_kept_pixel_is_the_photographs_own(
    pipeline: UFCPipeline, size: tuple[int, int]
) -> None:
    original = photograph(*size)
    mask = hole(size, (300, 500, 420, 640))
    edited = pipeline(
        "red bag", image=original, mask_image=mask, original_size=True, seed=0, feather=1
    ).images[0]
    assert edited.size == size
    kept = np.asarray(mask) == 0
    before, after = np.asarray(original), np.asarray(edited)
    assert np.array_equal(after[kept], before[kept])
    assert (after[~kept] != before[~kept]).mean() > 0.5


def test_blocks_are_those_of_the_grid_over_the_whole(pipeline: UFCPipeline) -> None:
    original = photograph(1201, 1603)
    frame = pipeline.frames.choose(original.size)
    kept = list(range(frame.cells // 2))
    edited = pipeline(
        "bag", image=original, preserve_blocks=kept, original_size=True, seed=0
    ).images[0]
    mask = np.asarray(changed_by_blocks(original.size, kept, frame))
    assert 0.3 < (mask > 0).mean() < 0.7
    assert np.array_equal(np.asarray(edited)[mask == 0], np.asarray(original)[mask == 0])
    with pytest.raises(RequestError, match="preserve_blocks"):
        pipeline("bag", image=original, preserve_blocks=[frame.cells], original_size=True)


def test_twenty_edits_leave_what_was_never_changed(pipeline: UFCPipeline) -> None:
    original = photograph(400, 300)
    picture, ever = original, np.zeros((300, 400), bool)
    for number in range(20):
        left, upper = 17 * number, 11 * number
        mask = hole(picture.size, (left, upper, left + 40, upper + 30))
        ever |= np.asarray(mask) > 0
        picture = pipeline(
            "bag", image=picture, mask_image=mask, original_size=True, num_inference_steps=1, seed=0
        ).images[0]
    assert np.array_equal(np.asarray(picture)[~ever], np.asarray(original)[~ever])


def test_the_model_sees_the_part_around_a_small_change(pipeline: UFCPipeline) -> None:
    frame = pipeline.frames.default
    box = part_to_see((500, 500, 560, 540), (1200, 1600), frame)
    assert box[0] < 500 and box[2] > 560 and box[2] - box[0] == 120
    assert part_to_see((0, 0, 10, 10), (1200, 1600), frame)[:2] == (0, 0)
    assert part_to_see((100, 100, 1100, 1500), (1200, 1600), frame) == (0, 0, 1200, 1600)
    photo = prepare(photograph(200, 160), hole((200, 160), (50, 50, 70, 60)), None, pipeline.frames)
    assert photo.part.size == photo.changed.size
    assert np.count_nonzero(photo.changed) == 20 * 10


def test_colours_meet_at_the_seam(pipeline: UFCPipeline) -> None:
    edit = pipeline_edit(pipeline)
    off_CHW = edit.pixels_CHW + 0.2  # a decoder that is too bright everywhere
    matched = match_colours(off_CHW, edit)
    near = ~edit.kept_HW
    assert (matched - edit.pixels_CHW)[:, near].abs().max() < 0.2
    assert (matched - edit.pixels_CHW)[:, edit.kept_HW].abs().max() < 0.05


def pipeline_edit(pipeline: UFCPipeline):  # type: ignore[no-untyped-def]
    from ufc.conditioning.known_tokens import edit_canvas

    height, width = pipeline.frames.default.size
    mask = hole((width, height), (0, 0, width // 2, height))
    picture = Image.new("RGB", (width, height), (120, 90, 60))
    return edit_canvas(picture, mask, None, pipeline.grid_size, (height, width))


def test_grain_is_the_photographs_and_white_has_none() -> None:
    changed = hole((320, 320), (100, 100, 200, 200))
    rough = np.asarray(photograph(320, 320), np.float32)
    assert 2 < grain(Image.fromarray(rough.astype(np.uint8)), changed, 32).std() < 8
    white = Image.new("RGB", (320, 320), "white")
    assert not grain(white, changed, 32).any()
    assert not grain(white.resize((32, 32)), changed.resize((32, 32)), 32).any()


def test_the_new_fades_in_inside_the_changed_area_only() -> None:
    changed = hole((60, 60), (20, 20, 40, 40))
    alpha = fade(changed, 4.0)
    outside = np.asarray(changed) == 0
    assert not alpha[outside].any() and alpha[30, 30] == 1 and 0 <= alpha[20, 30] < 0.5
    assert np.array_equal(fade(changed, 0), np.asarray(changed) / 255)


def test_what_is_thin_is_changed_all_the_same() -> None:
    changed = hole((200, 200), (20, 20, 100, 100))
    thick = fade(changed, 12.0)
    changed.paste(255, (150, 10, 152, 190))  # a scratch
    changed.paste(255, (170, 50, 176, 56))  # a spot
    alpha = fade(changed, 12.0)
    assert np.array_equal(alpha[:, :130], thick[:, :130])
    assert alpha[20:180, 150:152].min() > 0.4 and alpha[52:54, 172:174].min() == 1
    assert not alpha[np.asarray(changed) == 0].any()


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_the_command_turns_once_and_keeps_the_profile(ufc, tmp_path: Path, suffix: str) -> None:  # type: ignore[no-untyped-def]
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    path = tmp_path / f"photo{suffix}"
    photograph(160, 120).save(path, exif=exif, icc_profile=profile)
    upright = load_original(path)
    assert upright.size == (120, 160)
    hole(upright.size, (40, 60, 70, 100)).save(tmp_path / "mask.png")
    flags = ["--image", path, "--mask-image", tmp_path / "mask.png", "--original-size"]
    code, _, err = ufc("edit", "--prompt", "red bag", "--seed", 1, *flags)
    assert code == 0, err
    row = manifest()[0]
    assert row["original_size"] is True
    with Image.open(Path("out") / row["file_name"]) as file:
        edited = np.asarray(file)
    kept = np.asarray(Image.open(tmp_path / "mask.png")) == 0
    assert np.array_equal(edited[kept], np.asarray(upright)[kept])
    again = ufc("generate", "--prompts-file", "out/manifest.jsonl", output_dir="again")
    assert again[0] == 0
    assert np.array_equal(np.asarray(load_image(Path("again") / row["file_name"])), edited)


def test_without_a_part_half_of_it_is_changed_at_its_own_size(pipeline: UFCPipeline) -> None:
    out = pipeline("bag", image=photograph(60, 60), original_size=True, seed=0)
    assert out.images[0].size == (60, 60)


def test_without_a_photograph_there_is_nothing_to_come_back_to(pipeline: UFCPipeline) -> None:
    out = pipeline("bag", original_size=True, seed=0)
    assert torch.equal(out.codes, pipeline("bag", seed=0).codes)
