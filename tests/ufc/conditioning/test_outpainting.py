"""Pictures made larger by blocks on any side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli_helpers import manifest
from PIL import Image

from ufc.conditioning.edits.outpainting import extend, extended_size
from ufc.conditioning.frame import Frame
from ufc.io.validation import RequestError
from ufc.pipeline import UFCPipeline
from ufc.request import Request, check_added
from ufc_base.images import load_image


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def test_the_picture_lies_where_it_lay_and_the_rest_is_new() -> None:
    picture = noise(40, 80)
    frame = Frame((8, 4), 4)  # blocks of 10 pixels
    larger, mask = extend(picture, (1, 0, 2, 3), frame)
    assert larger.size == mask.size == (70, 110) == extended_size((40, 80), (1, 0, 2, 3), frame)
    assert np.array_equal(np.asarray(larger)[10:90, 30:], np.asarray(picture))
    assert (
        not np.asarray(mask)[10:90, 30:].any() and (np.asarray(mask) > 0).sum() == 70 * 110 - 3200
    )


def test_a_block_is_as_large_as_the_picture_lies_in_the_models_square() -> None:
    # 48 x 64 pixels stand in 6 of 8 columns: a block has 8 pixels across as down.
    assert extended_size((48, 64), (1, 1, 0, 0), Frame((8, 8), 4)) == (56, 72)


def test_all_of_the_photograph_is_kept(pipeline: UFCPipeline) -> None:
    picture = noise(120, 120)
    added = (0, 2, 0, 0)
    out = pipeline("bag", image=picture, outpaint=added, original_size=True, seed=0).images[0]
    assert out.height == 120 and out.width > 120
    assert np.array_equal(np.asarray(out)[:, :120], np.asarray(picture))
    small = pipeline("bag", image=picture, outpaint=added, seed=0)
    assert any(story["kept"] for story in small.provenance[0])
    assert not all(story["kept"] for story in small.provenance[0])


def test_the_command_and_its_manifest(ufc, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    noise(64, 64).save(tmp_path / "bag.png")
    flags = ["--image", tmp_path / "bag.png", "--outpaint", "0,0,1,0", "--original-size"]
    code, _, err = ufc("edit", "--prompt", "bag", "--seed", 1, *flags)
    assert code == 0, err
    row = manifest()[0]
    assert row["outpaint"] == [0, 0, 1, 0]
    edited = np.asarray(load_image(Path("out") / row["file_name"]))
    assert np.array_equal(edited[:64], np.asarray(load_image(tmp_path / "bag.png")))
    assert ufc("generate", "--prompts-file", "out/manifest.jsonl", output_dir="again")[0] == 0
    assert np.array_equal(np.asarray(load_image(Path("again") / row["file_name"])), edited)
    flags[3] = "0,0,0,0"
    code, _, err = ufc("edit", "--prompt", "bag", *flags, output_dir="none")
    assert code == 2 and "adds nothing" in err


@pytest.mark.parametrize(
    "wrong", ["", "1,2,3", "1,2,3,x", [1, 2, 3, -1], [1, 2, 3, 33], 3, "0,0,0,0"]
)
def test_what_is_no_outpainting(wrong: object) -> None:
    with pytest.raises(RequestError, match="outpaint"):
        check_added(wrong)


def test_it_goes_with_an_image_and_without_a_mask(pipeline: UFCPipeline) -> None:
    assert Request.from_json({"image": "a.png", "outpaint": "1,0,0,0"}).outpaint == (1, 0, 0, 0)
    with pytest.raises(RequestError, match="outpaint: needs the image"):
        Request(prompt="bag", outpaint=(1, 0, 0, 0))
    with pytest.raises(RequestError, match="got both preserve_blocks and outpaint"):
        Request(image="a.png", preserve_blocks=(1,), outpaint=(1, 0, 0, 0))
    with pytest.raises(RequestError, match="outpaint: needs the image"):
        pipeline("bag", outpaint=(1, 0, 0, 0))
