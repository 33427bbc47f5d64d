"""Pictures that are not square, from the call to the files."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_pipeline, picture
from PIL import Image
from shapes import PORTRAIT, portrait_pipeline
from toy_data import write_shards
from toy_training import model_config, tokenizer_config

import ufc.training.trainer
import vqgan.training.trainer
from ufc.benchmark import Case, measure_case, measure_forward
from ufc.cli.main import main
from ufc.contrastive_scorer import ContrastiveEstimator
from ufc.io.png.block_record import BlockRecord
from ufc.io.png.metadata import read_metadata
from ufc.io.validation import RequestError
from ufc.pipeline import UFCPipeline
from ufc.token_confidence import assess, differing_blocks

QUICK: dict[str, Any] = {"num_inference_steps": 2, "seed": 1}
COMMAND = ("--num-inference-steps", "2", "--seed", "1", "--output-dir", "out")


@pytest.fixture(scope="module")
def pipe() -> UFCPipeline:
    return portrait_pipeline()


@pytest.fixture(scope="module")
def folder(pipe: UFCPipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "portrait"
    pipe.save_pretrained(folder)
    return folder


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def test_pictures_have_the_trained_shape(pipe: UFCPipeline) -> None:
    out = pipe("bag", reference_images=[picture(1, (30, 30))], **QUICK)
    assert out.images[0].size == (16, 24)
    assert out.confidence.shape == (1, 6, 4) and out.codes.shape == (1, 24)
    assert len(out.provenance[0]) == 24
    again = pipe.decode_pil(out.codes)[0]
    assert np.abs(pixels(again) - pixels(out.images[0])).max() <= 1
    arrays = pipe("bag", output_type="uint8", **QUICK).images
    assert arrays.shape == (1, 24, 16, 3)


@pytest.mark.parametrize("order", ["pnag", "maskgit", "halton"])
def test_another_shape_than_the_trained(pipe: UFCPipeline, order: str) -> None:
    out = pipe("bag", height=16, width=24, order=order, num_candidates=2, best_of=2, **QUICK)
    assert out.images[0].size == (24, 16) and out.confidence.shape == (1, 4, 6)
    square = make_pipeline()("bag", height=24, order=order, **QUICK)
    assert square.images[0].size == (16, 24)


def test_a_size_that_is_no_multiple_of_a_block_is_refused(pipe: UFCPipeline) -> None:
    with pytest.raises(RequestError, match="height: got 18 pixels, wanted a multiple of the 4"):
        pipe("bag", height=18)
    with pytest.raises(RequestError, match="width"):
        pipe("bag", width=-4)


def test_kept_blocks_are_numbered_row_by_row_and_exact(pipe: UFCPipeline) -> None:
    base = picture(3, (16, 24))
    keep = [0, 7, 20, 23]
    out = pipe("bag", image=base, preserve_blocks=keep, **QUICK)
    changed = differing_blocks(base, out.images[0], (6, 4))
    assert changed and not set(changed) & set(keep)
    assert (pixels(out.images[0])[4:8, 12:16] == pixels(base)[4:8, 12:16]).all()  # block 7
    with pytest.raises(ValueError, match=r"24.*0 to 23"):
        pipe("bag", image=base, preserve_blocks=[24])


@pytest.mark.parametrize("size", [(16, 24), (160, 240), (151, 230), (40, 30), (500, 500)])
def test_a_mask_at_the_photographs_own_size(pipe: UFCPipeline, size: tuple[int, int]) -> None:
    base, mask = picture(3, size), Image.new("L", size, 255)
    mask.paste(0, (0, 0, size[0], size[1] // 2))
    out = pipe("bag", image=base, mask_image=mask, **QUICK)
    frame = pipe.frames.choose(size)
    assert out.images[0].size == frame.size[::-1]
    fitted, kept = pixels(frame.fit(base)), np.asarray(frame.fit_mask(mask)) == 0
    assert kept.any() and (pixels(out.images[0])[kept] == fitted[kept]).all()


def test_codes_go_round_at_any_shape(pipe: UFCPipeline) -> None:
    first = pipe("bag", height=20, width=20, **QUICK)
    keep = list(range(15))
    again = pipe("shirt", image=first.images[0], codes=first.codes, preserve_blocks=keep, **QUICK)
    assert again.codes[0, :15].tolist() == first.codes[0, :15].tolist()
    alone = pipe("shirt", codes=first.codes, preserve_blocks=keep, height=20, width=20, **QUICK)
    assert torch.equal(alone.codes, again.codes)
    with pytest.raises(ValueError, match="5 x 5 blocks, but height and width ask for 1 x 25"):
        pipe(
            "bag",
            image=first.images[0],
            codes=first.codes,
            preserve_blocks=[0],
            height=4,
            width=100,
        )
    assert len(assess(pipe, first.codes[0].tolist(), "bag", [], (5, 5)).confidence) == 25


def test_one_call_has_one_shape(pipe: UFCPipeline) -> None:
    images = [picture(1, (16, 24)), picture(2, (24, 16))]
    with pytest.raises(ValueError, match="different grids, 4 x 6, 6 x 4"):
        pipe("bag", image=images, preserve_blocks=[0], **QUICK)
    out = pipe("bag", image=images, preserve_blocks=[0], height=24, width=16, **QUICK)
    assert [image.size for image in out.images] == [(16, 24)] * 2


def test_the_contrastive_estimator_sees_white_beside_the_picture() -> None:
    seen: list[torch.Tensor] = []

    def image(x: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return x.mean((2, 3))

    estimator = ContrastiveEstimator.__new__(ContrastiveEstimator)
    config = SimpleNamespace(image=SimpleNamespace(size=(24, 24)))
    estimator.model = SimpleNamespace(config=config, image=image)  # type: ignore[assignment]
    estimator.embed_pixels(torch.zeros(1, 3, 24, 16))
    assert seen[0].shape == (1, 3, 24, 24)
    assert (seen[0][..., :4] == 1).all() and (seen[0][..., 4:20] == 0).all()
    assert (seen[0][..., 20:] == 1).all()


def test_a_block_record_of_any_shape() -> None:
    record = BlockRecord((6, 4), codes=(1,) * 24)
    assert record.to_json()["grid"] == [6, 4]
    assert BlockRecord.from_json(json.loads(json.dumps(record.to_json()))) == record
    old = BlockRecord.from_json({"format": 2, "grid": 4, "codes": [1] * 16})
    assert old.grid_size == (4, 4) and old.to_json()["grid"] == 4
    assert BlockRecord((4, 4)).grid == 4
    for wrong in ([6], [6, 0], [6, 4, 1], ["6", 4], [600, 4]):
        with pytest.raises(RequestError, match="grid"):
            BlockRecord.from_json({"format": 2, "grid": wrong})


def test_generate_and_edit_from_the_command_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    model = ("--model", str(folder))
    assert main(["generate", "--prompt", "bag", *COMMAND, *model]) == 0
    first = Path("out/bag-1-0.png")
    assert Image.open(first).size == (16, 24)
    found = read_metadata(first)
    assert found.blocks is not None and found.blocks.grid_size == (6, 4)
    assert found.request is not None and "height" not in found.request["request"]

    wide = ["generate", "--prompt", "wide", "--height", "16", "--width", "24", *COMMAND, *model]
    assert main(wide) == 0
    wide_file = Path("out/wide-1-0.png")
    asked = read_metadata(wide_file).request["request"]  # type: ignore[index]
    assert (asked["height"], asked["width"]) == (16, 24)

    edit = ["edit", "--prompt", "edit", "--image", str(wide_file), "--preserve-blocks", "0-11"]
    assert main([*edit, *COMMAND, *model]) == 0
    edited = read_metadata("out/edit-1-0.png")
    assert edited.blocks is not None and edited.blocks.grid == (4, 6)
    assert edited.blocks.codes[:12] == read_metadata(wide_file).blocks.codes[:12]  # type: ignore[index, union-attr]
    top = [pixels(Image.open(path))[:8] for path in (wide_file, "out/edit-1-0.png")]
    assert (top[0] == top[1]).all()

    capsys.readouterr()
    assert main([*edit[:-1], "0-24", *COMMAND, "--overwrite", *model]) == 2
    assert "0 to 23" in capsys.readouterr().err
    assert main([*wide[:3], "--height", "18", *COMMAND, "--overwrite", *model]) == 2
    assert "height: got 18 pixels, wanted a multiple" in capsys.readouterr().err


def test_a_list_of_several_shapes_is_drawn_shape_by_shape_and_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    picture(1, (160, 240)).save("tall.png")
    picture(2, (120, 80)).save("wide.jpg")
    rows = [
        {"id": "a", "prompt": "bag", "image": "tall.png", "preserve_blocks": "0-3"},
        {"id": "b", "prompt": "bag", "image": "wide.jpg", "preserve_blocks": "0-5"},
        {"id": "c", "prompt": "bag", "height": 16, "width": 24},
        {"id": "d", "prompt": "bag"},
    ]
    Path("p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["generate", *COMMAND, "--batch-size", "4", "--model", str(folder)]
    assert main([*command, "--prompts-file", "p.jsonl", "--grid"]) == 0
    sizes = {name: Image.open(f"out/{name}-1-0.png").size for name in "abcd"}
    assert sizes == {"a": (16, 24), "b": (24, 16), "c": (24, 16), "d": (16, 24)}
    lines = [json.loads(line) for line in Path("out/manifest.jsonl").read_text().splitlines()]
    groups = {line["id"]: line["group"] for line in lines}
    assert groups["b"] == groups["c"] and len({groups[name] for name in "abd"}) == 3

    again = ["generate", "--prompts-file", "out/manifest.jsonl", "--output-dir", "again"]
    assert main([*again, "--model", str(folder)]) == 0
    for name in "abcd":
        one, two = (Image.open(f"{place}/{name}-1-0.png") for place in ("out", "again"))
        assert (pixels(one) == pixels(two)).all()


def test_a_square_models_picture_of_another_shape_can_be_edited(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fixed = [*COMMAND, "--model", str(model)]
    assert main(["generate", "--prompt", "bag", "--width", "24", *fixed]) == 0
    edit = ["edit", "--prompt", "new", "--image", "out/bag-1-0.png", "--preserve-blocks", "0-11"]
    assert main([*edit, *fixed]) == 0
    before, after = (Image.open(f"out/{name}-1-0.png") for name in ("bag", "new"))
    assert before.size == after.size == (24, 16)
    assert (pixels(before)[:8] == pixels(after)[:8]).all()


def test_both_stages_train_on_pictures_that_are_not_square(tmp_path: Path) -> None:
    data = write_shards(tmp_path / "data", 8)
    sizes = {"height": PORTRAIT.height, "width": PORTRAIT.width}
    tokenizer = vqgan.training.trainer.main(
        tokenizer_config(data, tmp_path / "tokenizer", max_train_steps=4, **sizes)
    )
    trained = ufc.training.trainer.main(
        model_config(data, tokenizer, tmp_path / "model", max_train_steps=2, validation_steps=2)
    )
    assert Image.open(trained / "preview-000002.png").size == (20, 28)  # with the sheet's edge
    out = UFCPipeline.from_pretrained(trained)("red bag", image=picture(1, (32, 48)),
                                               preserve_blocks=[0], **QUICK)  # fmt: skip
    assert out.images[0].size == (16, 24)


def test_the_benchmark_measures_pictures_that_are_not_square(pipe: UFCPipeline) -> None:
    case = Case("one", steps=1)
    assert measure_case(pipe, case, 1)["resolution"] == "16 x 24"
    assert measure_forward(pipe, 1, 1, 1e12, 1)["name"] == "forward pass over 1 grid of 6 x 4"
