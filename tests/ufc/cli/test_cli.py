"""The command line: what it draws and writes."""

import json
from pathlib import Path

import numpy as np
import pytest
from cli_helpers import SIDE, manifest, pictures, write
from PIL import Image

from ufc.cli.main import main
from ufc.io.png.metadata import read_metadata
from ufc_base.images import load_image


def test_generate_from_a_prompt(ufc):
    code, out, err = ufc("generate", "--prompt", "Red dress", "--seed", 7)
    assert code == 0, err
    [row] = manifest()
    assert [*pictures()] == [row["file_name"]] == ["red-dress-7-0.png"]
    assert out.startswith("out/red-dress-7-0.png  compliance 0.") and out.endswith(" s\n")
    assert row["status"] == "done" and row["seed"] == 7 and row["steps"] == 2
    assert 0 <= row["compliance"] <= 1 and 0 <= row["fidelity"] <= 1 and row["seconds"] > 0
    assert row["versions"]["torch"] and row["backend"]["device"] == "cpu"
    assert row["guidance_scale"] == 3.0, "what was left open is recorded"
    assert "<figure" in Path("out/log.html").read_text()
    told = read_metadata("out/red-dress-7-0.png")
    assert told.request["request"]["prompt"] == "Red dress" and told.blocks.grid == 4


def test_several_pictures_negative_prompt_and_references(ufc, photo):
    code, out, err = ufc(
        "generate",
        *("--prompt", "bag", "--negative-prompt", "blue", "--seed", 3),
        *("--reference-image", photo, "--reference_image", photo),
        *("--num_images_per_prompt", 2, "--order", "mask_predict", "--grid", "--json"),
    )
    assert code == 0, err
    assert [*pictures()] == ["bag-3-0.png", "bag-4-1.png"]
    assert [json.loads(line)["seed"] for line in out.splitlines()] == [3, 4]
    assert load_image("out/grid.png").size == (2 * SIDE + 6, SIDE + 4)
    assert manifest()[0]["reference_images"] == ["../photo.png"] * 2
    assert b"photo" not in pictures()["bag-3-0.png"]


def test_a_prompts_file(ufc, tmp_path, photo):
    path = write(
        tmp_path / "p.jsonl",
        {"id": "a", "prompt": "red bag", "seed": 1, "num_images_per_prompt": 2},
        {"prompt": "女士粉色上衣 👜", "lang": "zh", "guidance_scale": 1.0},
        {"id": "c", "image": "photo.png", "preserve_blocks": "0-3", "output": "sets/c.png"},
    )
    code, _, err = ufc("generate", "--prompts-file", path, "--seed", 5, "--batch-size", 4)
    assert code == 0, err
    assert [*pictures()] == ["0002-5-0.png", "a-1-0.png", "a-2-1.png"]
    assert Path("out/sets/c.png").is_file()
    assert "--seed: 1 of 3 lines have their own and keep it" in err


def test_limit(ufc, tmp_path):
    path = write(tmp_path / "p.txt", "red bag", "blue bag", "green bag")
    assert ufc("generate", "--prompts-file", path, "--limit", 2, "--seed", 1)[0] == 0
    assert [*pictures()] == ["0001-1-0.png", "0002-1-0.png"]


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_other_formats(ufc, suffix):
    assert ufc("generate", "--prompt", "bag", "--seed", 1, "--format", suffix)[0] == 0
    told = read_metadata(f"out/bag-1-0.{suffix}")
    assert told.request["request"]["seed"] == 1 and "bag" in told.parameters


def test_without_metadata(ufc):
    assert ufc("generate", "--prompt", "secret", "--seed", 1, "--no-metadata")[0] == 0
    assert b"secret" not in pictures()["secret-1-0.png"]


def test_edit_keeps_blocks_exactly(ufc, photo):
    code, _, err = ufc(
        "edit", "--image", photo, "--preserve-blocks", "0-7,12", "--prompt", "bag", "--seed", 1
    )
    assert code == 0, err
    before, after = (np.asarray(load_image(p)) for p in (photo, "out/bag-1-0.png"))
    cell = SIDE // 4
    assert np.array_equal(after[: 2 * cell], before[: 2 * cell])
    assert np.array_equal(after[3 * cell :, :cell], before[3 * cell :, :cell])
    assert not np.array_equal(after[2 * cell :], before[2 * cell :])


def test_edit_with_masks(ufc, photo, tmp_path):
    grey = np.full((SIDE, SIDE), 200, np.uint8)
    grey[: SIDE // 2] = 90
    Image.fromarray(grey).save(tmp_path / "m.png")
    Image.fromarray(255 - grey).save(tmp_path / "n.png")
    common = ["edit", "--image", photo, "--prompt", "bag", "--seed", 1]
    assert ufc(*common, "--mask-image", "m.png")[0] == 0
    assert ufc(*common, "--mask-image", "n.png", "--invert-mask", output_dir="inv")[0] == 0
    before, one, two = (
        np.asarray(load_image(p)) for p in (photo, "out/bag-1-0.png", "inv/bag-1-0.png")
    )
    assert np.array_equal(one[: SIDE // 2], before[: SIDE // 2])
    assert np.array_equal(one, two)


def test_awkward_pictures_are_understood(ufc, tmp_path):
    deep = Image.fromarray(np.linspace(0, 65535, 33 * 17).reshape(17, 33).astype(np.uint16))
    deep.save(tmp_path / "deep.png")
    Image.new("CMYK", (5, 9)).save(tmp_path / "cmyk.jpg")
    Image.new("LA", (9, 5)).save(tmp_path / "alpha.png")
    Image.new("L", (66, 34), 255).save(tmp_path / "mask.png")
    references = [x for name in ("cmyk.jpg", "alpha.png") for x in ("--reference-image", name)]
    code, _, err = ufc("edit", "--image", "deep.png", "--mask-image", "mask.png", *references)
    assert code == 0, err


def test_default_folder_is_named_by_the_day(model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UFC_MODEL", str(model))
    assert main(["generate", "--prompt", "bag", "--seed", "1"]) == 0
    assert len([*tmp_path.glob("outputs/????-??-??/bag-1-0.png")]) == 1


def test_dry_run_writes_nothing(ufc):
    code, out, _ = ufc("generate", "--prompt", "bag", "--seed", 1, "--dry-run")
    assert (code, out) == (0, "out/bag-1-0.png  would be generated\n")
    assert not Path("out").exists()


def test_quiet(ufc):
    code, out, err = ufc("generate", "--prompt", "bag " * 500, "--seed", 1, "--quiet")
    assert code == 0 and err == "" and out.count("\n") == 1


def test_long_prompts_are_shortened_with_a_notice(ufc):
    code, _, err = ufc("generate", "--prompt", "bag " * 500, "--seed", 1)
    assert code == 0 and "used the first" in err
    assert "used the first" in manifest()[0]["notices"][0]


def test_every_picture_of_a_batch_has_its_own_notices(ufc, tmp_path):
    path = write(
        tmp_path / "p.jsonl",
        {"id": "a", "prompt": "red bag"},
        {"id": "b", "prompt": "bag " * 500, "num_images_per_prompt": 2},
        {"id": "c", "prompt": "blue bag", "negative_prompt": "bag " * 500},
    )
    code, _, err = ufc("generate", "--prompts-file", path, "--seed", 1, "--batch-size", 4)
    assert code == 0, err
    said = [row.get("notices", []) for row in manifest()]
    assert [len(notices) for notices in said] == [0, 1, 1, 1]
    assert said[1] == said[2] and said[3][0].startswith("negative prompt has ")
    lines = [line for line in err.splitlines() if "used the first" in line]
    assert lines == [f"p.jsonl, line 2: {said[1][0]}", f"p.jsonl, line 3: {said[3][0]}"]
