"""Bad input on the command line: one line, exit code 2, nothing done."""

from pathlib import Path

import pytest
from cli_helpers import SIDE, one_line, write
from PIL import Image
from toy_data import bomb_png

from ufc.cli.main import main
from ufc.requests import checks


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generate"], "nothing says what to generate"),
        (["generate", "--prompt", " "], "nothing says what to generate"),
        (["generate", "--prompt", "a", "--seed", "-1"], "seed: got -1"),
        (["generate", "--prompt", "a", "--seed", "x"], '--seed: got the text "x", wanted a whole'),
        (["generate", "--prompt", "a", "--order", "best"], "wanted one of pnag, maskgit"),
        (["generate", "--prompt", "a", "--num-candidates", "0"], "num_candidates: got 0"),
        (["generate", "--prompt", "a", "--guidance-scale", "nan"], "guidance_scale: got nan"),
        (["generate", "--prompt", "a", "--batch-size", "0"], "--batch-size: got 0, wanted 1"),
        (["generate", "--prompt", "a", "--limit", "1"], "--limit"),
        (["generate", "--prompt", "a", "--colour", "red"], "--colour"),
        (["generate", "--prompt", "a", "--prompts-file", "p.txt"], "got both"),
        (["generate", "--prompts-file", "gone.txt"], "no such prompts file"),
        (["generate", "--reference-image", "gone.png"], "gone.png: no such file"),
        (["generate", "--reference-image", "notes.png"], "notes.png: not a picture"),
        (["generate", "--reference-image", "cut.png"], "cut.png: cannot be read, truncated"),
        (["generate", "--reference-image", "huge.png"], "pixels; shrink it first"),
        (["generate", "--reference-image", "photo.png", "--reference-weight", "0"], "weight 0"),
        (["generate", "--prompt", "a", "--reference-weight", "1"], "got 1 for 0 reference"),
        (["generate", "--prompt", "a", "--model", "gone"], "no model 'gone'"),
        (["generate", "--prompt", "a", "--device", "tpu"], "'tpu' is not one of"),
        (["generate", "--prompt", "a", "--output-dir", "notes.png"], "is a file, wanted a folder"),
        (["edit", "--prompt", "a"], "--image: is missing"),
        (["edit", "--image", "photo.png"], "--mask-image or --preserve-blocks"),
        (["edit", "--image", "photo.png", "--preserve-blocks", ""], "wanted numbers and ranges"),
        (["edit", "--image", "photo.png", "--preserve-blocks", "0-16"], "16 out of range"),
        (
            ["edit", "--image", "photo.png", "--preserve-blocks", "0-15"],
            "there is nothing to generate",
        ),
        (["edit", "--image", "gone.png", "--preserve-blocks", "0"], "gone.png: no such file"),
        (["edit", "--image", "photo.png", "--mask-image", "wide.png"], "the mask is 32 x 16"),
        (["edit", "--image", "photo.png", "--mask-image", "black.png"], "keeps the whole image"),
        (
            ["edit", "--image", "photo.png", "--mask-image", "black.png", "--preserve-blocks", "1"],
            "got both",
        ),
        (["draw"], "draw"),
        (["info", "gone.png"], "gone.png: no such file"),
        (["info", "notes.png"], "notes.png: not a picture"),
        (["generate", "--prompt", "a", "--low-mem", "--batch-size", "2"], "got both --low-mem"),
        (["generate", "--prompt", "a", "--variant", "fp16"], "leave the variant out"),
        (["generate", "--prompt", "a", "--invert-mask"], "no mask to invert"),
        (["generate", "--prompt", "a", "--output-dir", "/proc/none"], "choose another --output"),
        (["generate", *["--reference-image", "photo.png"] * 9], "got 9, wanted 8 at most"),
        (["train", "--train-data-dir", ".", "--max-train-steps", "0"], "wanted 1 or more"),
        (["train", "--train-data-dir", ".", "--learning-rate", "-1"], "wanted 0 or more"),
        (["train-tokenizer"], "--train-data-dir"),
        (["train", "--tokenizer", "t"], "--train-data-dir"),
        (["train", "--max-train-steps", "many"], "max_train_steps: got"),
        (["train", "--config", "recipe.yaml"], "unknown name learning_ratee; known are"),
        (["train", "--config", "gone.yaml"], "no such recipe file"),
    ],
)
def test_bad_arguments(arguments, message, model, photo, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UFC_MODEL", str(model))
    monkeypatch.setenv("UFC_OUTPUT_DIR", "out")
    Path("notes.png").write_text("hello")
    Path("cut.png").write_bytes(photo.read_bytes()[:300])
    Path("huge.png").write_bytes(bomb_png(30000, 30000))
    Image.new("L", (2 * SIDE, SIDE), 255).save("wide.png")
    Image.new("L", (SIDE, SIDE), 0).save("black.png")
    Path("recipe.yaml").write_text("learning_ratee: 1\n")
    code = main(arguments)
    captured = capsys.readouterr()
    assert (code, captured.out) == (2, "") and one_line(captured.err)
    assert message in captured.err
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "is not JSON"),
        ({"prompt": "x", "colour": "red"}, "unknown field colour"),
        ({"prompt": 3}, "wanted text"),
        ({"prompt": "x", "id": "ok"}, "used already"),
        ({"prompt": "x", "id": "../../x"}, "would leave the output folder"),
        ({"prompt": "x", "output": "/tmp/x.png"}, "would leave the output folder"),
        ({"id": "x"}, "nothing says what to generate"),
        ({"prompt": "x", "reference_images": ["gone.png"]}, "no such file"),
        ({"image": "photo.png", "preserve_blocks": [99]}, "99 out of range"),
        ({"image": "photo.png", "mask_image": "wide.png"}, "the mask is 32 x 16"),
    ],
)
def test_bad_lines_cost_nothing(line, message, ufc, photo, tmp_path):
    Image.new("L", (2 * SIDE, SIDE), 255).save("wide.png")
    path = write(tmp_path / "p.jsonl", {"id": "ok", "prompt": "bag", "seed": 1}, line)
    code, out, err = ufc("generate", "--prompts-file", path)
    assert (code, out) == (2, "") and one_line(err)
    assert message in err and "p.jsonl, line 2: " in err
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [("truncated", "truncated or damaged"), ("pickle", "pickle"), ("keys", "missing keys")],
)
def test_bad_checkpoints(damage, message, model, tmp_path, monkeypatch, capsys):
    import shutil

    from safetensors.torch import load_file, save_file

    monkeypatch.chdir(tmp_path)
    copy = shutil.copytree(model, tmp_path / "copy")
    weights = copy / "transformer/model.safetensors"
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif damage == "pickle":
        weights.write_bytes(b"\x80\x02}q\x00.")
    else:
        state = load_file(weights)
        state["surplus.weight"] = state.pop(next(iter(state)))
        save_file(state, weights)
    code = main(["generate", "--prompt", "a", "--model", str(copy), "--output-dir", "out"])
    err = capsys.readouterr().err
    assert code == 2 and one_line(err) and message in err
    if damage == "keys":
        assert "surplus.weight" in err


def test_unforeseen_errors_are_one_line(ufc, monkeypatch):
    monkeypatch.setattr(checks, "check_rows", lambda *_: 1 / 0)
    code, _, err = ufc("generate", "--prompt", "a")
    assert code == 1 and one_line(err) and "ZeroDivisionError" in err and "UFC_DEBUG" in err
