"""Pictures and masks given as numbers, and masks that would do nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import picture
from picture_files import encode
from PIL import Image

from ufc.pipeline import UFCPipeline
from ufc_base.images import ImageError, load_image, load_mask

OWN = picture(3)
ARRAY = np.asarray(OWN)
MASK = np.zeros((16, 16), bool)
MASK[8:, :] = True


@pytest.mark.parametrize(
    "given",
    [
        ARRAY,
        ARRAY / 255,
        (ARRAY / 255).astype(np.float32) * 1.0001,
        torch.from_numpy(ARRAY.copy()).permute(2, 0, 1),
        torch.from_numpy(ARRAY / 255).permute(2, 0, 1),
        np.asfortranarray(ARRAY),
        np.concatenate([ARRAY, np.full((16, 16, 1), 255, np.uint8)], -1),
    ],
)
def test_pictures_as_numbers(given):
    assert load_image(given).tobytes() == OWN.tobytes()


def test_grey_numbers():
    for grey in (ARRAY[..., 0], ARRAY[..., :1], torch.from_numpy(ARRAY[..., 0].copy())[None]):
        assert np.array_equal(np.asarray(load_image(grey))[..., 2], ARRAY[..., 0])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (ARRAY.transpose(2, 0, 1), r"uint8 of shape \(3, 16, 16\), wanted .* \(H, W, 3\)"),
        (torch.zeros(16, 16, 3), r"shape \(16, 16, 3\), wanted .* tensor of shape \(3, H, W\)"),
        (ARRAY[None], "batch of shape .* list"),
        (ARRAY.astype(np.int64), "got int64, wanted uint8 or float"),
        (ARRAY > 3, "got bool, wanted uint8"),
        (ARRAY.astype(np.float32), "from 0 to 255, wanted 0..1"),
        (ARRAY / 127.5 - 1, "wanted 0..1; add 1 and divide by 2"),
        (np.full((4, 4, 3), np.nan), "from nan to nan"),
        (np.zeros((0, 4, 3), np.uint8), "is empty"),
        (np.zeros(4, np.uint8), r"shape \(4,\)"),
        (np.array([["a"]]), "got <U1"),
    ],
)
def test_other_numbers_are_refused_in_one_line(given, message):
    with pytest.raises(ImageError, match=message) as caught:
        load_image(given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        MASK,
        MASK[..., None],
        MASK.astype(np.uint8),
        MASK.astype(np.uint8) * 255,
        MASK.astype(np.int64),
        MASK.astype(np.int64) * 255,
        MASK.astype(np.uint16) * 255,
        MASK.astype(np.float32),
        MASK * 0.9,
        MASK * 1.0001,
        torch.from_numpy(MASK),
        torch.from_numpy(MASK)[None],
        torch.from_numpy(MASK).to(torch.bfloat16),
        torch.from_numpy(MASK).long(),
        Image.fromarray(MASK),  # mode 1
        Image.fromarray(MASK.astype(np.uint8)),
        Image.fromarray(MASK.astype(np.float32)),
        Image.fromarray(MASK.astype(np.int32)),
        Image.fromarray(MASK.astype(np.uint16)),
        Image.fromarray(MASK.astype(np.uint16) * 255),
        Image.fromarray(MASK.astype(np.uint8)).convert("RGB"),
        encode(Image.fromarray(MASK.astype(np.uint8))),
    ],
)
def test_masks_in_every_form(given):
    assert np.array_equal(np.asarray(load_mask(given)), MASK * 255)
    assert np.array_equal(np.asarray(load_mask(given, invert=True)), ~MASK * 255)


@pytest.mark.parametrize("values", [MASK * np.uint8(38), MASK * 0.3, MASK * 100])
def test_masks_without_white_are_not_taken_for_black_ones(values):
    with pytest.raises(ImageError, match="nothing in this mask is white: its values are 0 to"):
        load_mask(values)
    palette = Image.fromarray(MASK.astype(np.uint8), "P")
    palette.putpalette([0, 0, 0, 128, 0, 0])  # labels, as segmentation sets colour them
    with pytest.raises(ImageError, match="are 0 to 38, wanted 0 and 255, or 0 and 1"):
        load_mask(palette)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (MASK * 300, "from 0 to 300, wanted bool, 0/1"),
        (MASK * -1.0, "from -1 to"),
        (MASK * 1j, "got complex128"),
        (np.zeros((3, 16, 16)), r"shape \(3, 16, 16\)"),
    ],
)
def test_what_is_no_mask(given, message):
    with pytest.raises(ImageError, match=message):
        load_mask(given)


def draw(pipeline: UFCPipeline, **given: object) -> object:
    return pipeline("bag", seed=1, num_inference_steps=2, **given)  # type: ignore[arg-type]


def test_the_pipeline_takes_numbers_for_pictures_and_masks(pipeline: UFCPipeline):
    told = {"image": OWN, "mask_image": Image.fromarray(MASK), "reference_images": OWN}
    right = draw(pipeline, **told).codes.tolist()  # type: ignore[attr-defined]
    tensor = torch.from_numpy(ARRAY / 255).permute(2, 0, 1)
    for image, mask in ((ARRAY, MASK), (tensor, torch.from_numpy(MASK))):
        out = draw(pipeline, image=image, mask_image=mask, reference_images=[image])
        assert out.codes.tolist() == right  # type: ignore[attr-defined]
        kept = np.asarray(out.images[0])[:8]  # type: ignore[attr-defined]
        assert np.array_equal(kept, ARRAY[:8])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mask_image": ~MASK & MASK}, "there is nothing to generate"),
        ({"mask_image": MASK * 30}, "mask_image: nothing in this mask is white"),
        ({"mask_image": "mask.png"}, "mask_image has a str, wanted PIL pictures, arrays"),
        ({"mask_image": [MASK * -1.0]}, "mask_image: got float64 from -1"),
        ({"preserve_blocks": list(range(16))}, "there is nothing to generate"),
        ({"image": ARRAY.astype(float), "mask_image": MASK}, "image: got float64 from 0 to 255"),
        ({"reference_images": ARRAY[None], "mask_image": MASK}, "reference_images: got a batch"),
        ({"reference_images": 3, "mask_image": MASK}, "reference_images has a int"),
    ],
)
def test_the_pipeline_refuses_what_would_do_nothing(pipeline: UFCPipeline, given, message):
    with pytest.raises(ValueError, match=message):
        draw(pipeline, **({"image": OWN} | given))


def test_the_command_takes_0_1_masks_and_refuses_empty_ones(ufc, photo: Path, tmp_path: Path):
    for name, values in (("one", MASK.astype(np.uint8)), ("dim", MASK * np.uint8(9)),
                         ("none", np.zeros((16, 16), np.uint8))):  # fmt: skip
        Image.fromarray(values).save(tmp_path / f"{name}.png")
    edit = ("edit", "--image", photo, "--prompt", "bag", "--seed", 1, "--mask-image")
    code, _, err = ufc(*edit, "one.png")
    assert code == 0, err
    kept, own = np.asarray(load_image("out/bag-1-0.png")), np.asarray(load_image(photo))
    assert np.array_equal(kept[:8], own[:8]) and not np.array_equal(kept[8:], own[8:])
    for name, said in (("dim", "nothing in this mask is white"), ("none", "nothing to generate")):
        code, _, err = ufc(*edit, f"{name}.png", output_dir=name)
        assert code == 2 and f"{name}.png" in err and said in err and not Path(name).exists()
