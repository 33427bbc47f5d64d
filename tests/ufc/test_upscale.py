"""Pictures of twice the size, and edits that an upscaler enlarges."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_helpers import manifest, write
from conftest import make_pipeline, picture
from PIL import Image
from toy_upscaler import toy_upscaler

from ufc.cli.main import main
from ufc.conditioning.edits.original_size import changed_by_blocks
from ufc.io.png.metadata import read_metadata
from ufc.io.validation import RequestError
from ufc.pipeline import UFCPipeline
from ufc_base.checkpoint import CheckpointError
from ufc_base.images import to_pil, to_uint8
from vqgan.model import VQGAN


@pytest.fixture(scope="module")
def upscaling() -> UFCPipeline:
    pipe = make_pipeline()
    pipe.upscaler = toy_upscaler()
    return pipe


@pytest.fixture(scope="module")
def model(upscaling: UFCPipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with an upscaler; `ufc` runs it."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    upscaling.save_pretrained(folder)
    return folder


def generate(pipe: UFCPipeline, **settings: object):  # type: ignore[no-untyped-def]
    return pipe("red bag", seed=3, num_inference_steps=2, **settings)


def test_pictures_are_those_of_the_model_enlarged(upscaling: UFCPipeline) -> None:
    out = generate(upscaling, upscale=2)
    expected = upscaling.enlarge(upscaling.decode(out.codes))
    assert out.images[0].size == (32, 32)
    assert np.array_equal(np.asarray(out.images[0]), to_uint8(expected)[0])
    assert torch.equal(out.codes, generate(upscaling).codes)
    assert generate(upscaling).images[0].size == (16, 16)
    numbers = generate(upscaling, upscale=2, output_type="pt").images
    assert torch.equal(numbers, (expected / 2 + 0.5).clamp(0, 1))
    wide = generate(upscaling, upscale=2, height=12, width=20, num_images_per_prompt=2)
    assert [one.size for one in wide.images] == [(40, 24)] * 2


def test_a_model_without_an_upscaler_says_so(
    pipeline: UFCPipeline,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError, match="tiny has no upscaler; leave it out, or put what"):
        pipeline("red bag", upscale=2)
    with pytest.raises(ValueError, match="upscale: got 3, wanted 1 to 2"):
        pipeline("red bag", upscale=3)
    pipeline.save_pretrained(tmp_path / "plain")
    assert not (tmp_path / "plain" / "upscaler").exists()
    write(tmp_path / "p.jsonl", {"id": "a", "prompt": "bag"}, {"prompt": "bag", "upscale": 2})
    asked = ["generate", "--prompts-file", "p.jsonl", "--output-dir", "none"]
    assert main([*asked, "--model", str(tmp_path / "plain")]) == 2
    said = capsys.readouterr().err
    assert "p.jsonl" in said and "plain has no upscaler" in said
    assert not list(Path("none").glob("*.png"))


def test_a_folder_keeps_its_upscaler_and_its_hash(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "tiny"
    shutil.copytree(model, folder)
    names = [p for p in folder.rglob("*") if p.is_file()]
    hashes = {
        p.relative_to(folder.parent).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in names
    }
    (folder.parent / "manifest.json").write_text(json.dumps(hashes))
    pipe = UFCPipeline.from_pretrained(folder, dtype="fp32")
    assert generate(pipe, upscale=2).images[0].size == (32, 32)
    toy_upscaler(seed=1).save_pretrained(folder / "upscaler")
    with pytest.raises(CheckpointError, match=r"upscaler/model\.safetensors differ"):
        UFCPipeline.from_pretrained(folder)
    (folder.parent / "manifest.json").unlink()
    (folder / "upscaler" / "model.safetensors").write_bytes(b"half")
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        UFCPipeline.from_pretrained(folder)


@pytest.mark.parametrize("feather", [0, 2])
def test_kept_pixels_of_a_large_enough_image_are_exact(
    upscaling: UFCPipeline, feather: int
) -> None:
    image = picture(1, (32, 32))
    kept = list(range(8))
    edited = generate(
        upscaling, image=image, preserve_blocks=kept, upscale=2, feather=feather
    ).images[0]
    before, after = np.asarray(image), np.asarray(edited)
    assert np.array_equal(after[:16], before[:16])
    assert (after[16:] != before[16:]).mean() > 0.5
    mask = Image.new("L", (32, 32))
    mask.paste(255, (5, 7, 18, 20))  # blocks are freed as a whole, pixels outside it stay
    edited = generate(upscaling, image=image, mask_image=mask, upscale=2).images[0]
    outside = np.asarray(mask) == 0
    assert np.array_equal(np.asarray(edited)[outside], before[outside])
    larger = generate(upscaling, image=picture(2, (64, 64)), preserve_blocks=kept, upscale=2)
    reduced = picture(2, (64, 64)).resize((32, 32), Image.Resampling.BICUBIC)
    assert np.array_equal(np.asarray(larger.images[0])[:16], np.asarray(reduced)[:16])


def test_a_small_image_is_enlarged_with_the_rest(upscaling: UFCPipeline) -> None:
    given = {"image": picture(1), "preserve_blocks": [0, 1, 2, 3]}
    small = generate(upscaling, **given, output_type="pt").images * 2 - 1
    out = generate(upscaling, **given, upscale=2)
    expected = np.asarray(to_pil(upscaling.enlarge(small))[0])
    assert np.array_equal(np.asarray(out.images[0]), expected)


def test_edits_at_the_photographs_size_go_through_the_upscaler(
    upscaling: UFCPipeline, pipeline: UFCPipeline
) -> None:
    photograph = picture(5, (120, 160)).resize((240, 320), Image.Resampling.BICUBIC)
    frame = upscaling.frames.choose(photograph.size)
    kept = [block for block in range(frame.cells) if block not in (5, 6)]
    given = {"image": photograph, "preserve_blocks": kept, "original_size": True}
    by_upscaler, plain = generate(upscaling, **given), generate(pipeline, **given)
    assert torch.equal(by_upscaler.codes, plain.codes)
    mask = np.asarray(changed_by_blocks(photograph.size, kept, frame)) == 0
    one, other = np.asarray(by_upscaler.images[0]), np.asarray(plain.images[0])
    assert by_upscaler.images[0].size == photograph.size
    assert np.array_equal(one[mask], np.asarray(photograph)[mask])
    assert (one[~mask] != other[~mask]).mean() > 0.5
    again = generate(upscaling, **given, upscale=2).images[0]
    assert np.array_equal(np.asarray(again), one)  # it has the photograph's size in any case


def test_a_photograph_no_larger_than_the_models_pictures_needs_no_upscaler(
    upscaling: UFCPipeline, pipeline: UFCPipeline
) -> None:
    given = {"image": picture(1, (12, 12)), "preserve_blocks": [0], "original_size": True}
    images = [generate(pipe, **given).images[0] for pipe in (upscaling, pipeline)]
    assert np.array_equal(*map(np.asarray, images))


def test_the_command_the_files_and_an_edit_of_what_came_out(
    ufc,  # type: ignore[no-untyped-def]
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code, _, err = ufc("generate", "--prompt", "red bag", "--seed", 5, "--upscale", 2)
    assert code == 0, err
    row = manifest()[0]
    path = Path("out") / row["file_name"]
    assert row["upscale"] == 2 and Image.open(path).size == (32, 32)
    said = read_metadata(path)
    assert said.request is not None and said.blocks is not None
    assert (said.request["width"], said.request["height"]) == (32, 32)
    assert said.request["request"]["upscale"] == 2 and "Size: 32x32" in (said.parameters or "")
    assert said.blocks.grid_size == (4, 4)
    assert ufc("generate", "--prompts-file", path, output_dir="again")[0] == 0
    again = Path("again") / manifest("again")[0]["file_name"]
    assert Image.open(again).tobytes() == Image.open(path).tobytes()

    monkeypatch.setattr(VQGAN, "encode", None)  # its blocks are known
    edit = ["--image", path, "--preserve-blocks", "0-7", "--upscale", 2]
    code, _, err = ufc("edit", "--prompt", "bag", *edit, output_dir="edited")
    assert code == 0, err
    edited = Path("edited") / manifest("edited")[0]["file_name"]
    blocks = read_metadata(edited).blocks
    assert blocks is not None and blocks.codes is not None and said.blocks.codes is not None
    assert blocks.codes[:8] == said.blocks.codes[:8]
    one, other = (np.asarray(Image.open(file)) for file in (path, edited))
    assert np.array_equal(one[:16], other[:16])


def test_an_enlarged_picture_of_another_shape_keeps_its_blocks(
    ufc,  # type: ignore[no-untyped-def]
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shape = ["--height", 12, "--width", 20, "--upscale", 2]
    assert ufc("generate", "--prompt", "red bag", "--seed", 5, *shape)[0] == 0
    path = Path("out") / manifest()[0]["file_name"]
    monkeypatch.setattr(VQGAN, "encode", None)
    edit = ["--image", path, "--preserve-blocks", "0-4"]
    code, _, err = ufc("edit", "--prompt", "bag", *edit, output_dir="edited")
    assert code == 0, err
    with Image.open(Path("edited") / manifest("edited")[0]["file_name"]) as image:
        assert image.size == (20, 12)
