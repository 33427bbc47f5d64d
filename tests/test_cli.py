"""The command line: what it writes, what it refuses, and how it goes on after a break."""

import errno
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import make_pipeline
from PIL import Image
from test_images import bomb_png

import ufc.commands.easel as easel
from ufc.cli import main
from ufc.metadata import read_metadata
from vqgan.images import load_image

SIDE, BLOCKS = 16, 16  # of the tiny model


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    make_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def ufc(model, tmp_path, monkeypatch, capsys):
    """Run `ufc generate` or `edit` with the tiny model into tmp_path/out: (code, out, err)."""
    monkeypatch.chdir(tmp_path)

    def run(command: str, *arguments: object, output_dir: object = "out"):
        fixed = ["--model", model, "--output-dir", output_dir, "--num-inference-steps", 2]
        code = main([command, *map(str, arguments), *map(str, fixed)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def photo(tmp_path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def write(path: Path, *lines: object) -> Path:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def pictures(folder: str | Path = "out") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path(folder).glob("*-*.png"))}


def manifest(folder: str | Path = "out") -> list[dict]:
    lines = Path(folder, "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def one_line(text: str) -> bool:
    return text.endswith("\n") and text.count("\n") == 1 and "Traceback" not in text


# ── drawing ──


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
    assert told.request["request"]["prompt"] == "Red dress" and told.blocks["grid"] == 4


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
    assert (code, out) == (0, "out/bag-1-0.png  would be drawn\n")
    assert not Path("out").exists()


def test_quiet(ufc):
    code, out, err = ufc("generate", "--prompt", "bag " * 500, "--seed", 1, "--quiet")
    assert code == 0 and err == "" and out.count("\n") == 1


def test_long_prompts_are_shortened_with_a_notice(ufc):
    code, _, err = ufc("generate", "--prompt", "bag " * 500, "--seed", 1)
    assert code == 0 and "used the first" in err
    assert "used the first" in manifest()[0]["notices"][0]


# ── again, further, over ──


def prompts(tmp_path: Path, **more: object) -> Path:
    return write(
        tmp_path / "p.jsonl",
        {"id": "a", "prompt": "red bag", "num_images_per_prompt": 3},
        {"id": "b", "prompt": "blue shirt", "seed": 9, **more},
        {"id": "c", "prompt": "黑色手表", "order": "pnag", "num_candidates": 2, "num_drafts": 2},
    )


@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_manifest_makes_the_same_files_again(ufc, tmp_path, photo, batch_size):
    path = prompts(tmp_path, reference_images=[{"path": "photo.png", "weight": 0.5}])
    assert ufc("generate", "--prompts-file", path, "--batch-size", batch_size)[0] == 0
    first = pictures()
    assert len(first) == 5
    code, _, err = ufc("generate", "--prompts-file", "out/manifest.jsonl", output_dir="again")
    assert code == 0 and "differ" not in err
    assert pictures("again") == first
    code, _, _ = ufc("generate", "--prompts-file", "again/manifest.jsonl", output_dir="third")
    assert pictures("third") == first


def test_never_overwritten_silently(ufc):
    flags = ["generate", "--prompt", "bag", "--seed", 1]
    assert ufc(*flags)[0] == 0
    first = pictures()
    code, out, err = ufc(*flags)
    assert code == 2 and out == "" and one_line(err)
    assert "exists already" in err and "--resume" in err and "--overwrite" in err
    assert pictures() == first
    assert ufc(*flags, "--overwrite")[0] == 0 and pictures() == first
    code, out, err = ufc(*flags, "--resume")
    assert code == 0 and out == "" and "0 drawn, 1 done before" in err
    assert ufc(*flags, "--resume", "--overwrite")[0] == 2


@pytest.mark.parametrize("trouble", ["interrupt", "full disk"])
def test_broken_off_and_resumed(ufc, tmp_path, monkeypatch, trouble):
    path = prompts(tmp_path)
    flags = ["generate", "--prompts-file", path, "--batch-size", 2]
    real = easel.save_picture
    written = []

    def save(image, target, metadata, **options):
        if len(written) == 3:
            raise KeyboardInterrupt if trouble == "interrupt" else OSError(errno.ENOSPC, "full")
        written.append(target.name)
        real(image, target, metadata, **options)

    with monkeypatch.context() as patch:
        patch.setattr(easel, "save_picture", save)
        code, _, err = ufc(*flags)
    if trouble == "interrupt":
        assert code == 130 and "interrupted" in err
    else:
        assert code == 1 and "disk is full" in err
    assert "--resume" in err and one_line(err)
    assert [*pictures()] == sorted(written)
    assert [row["status"] for row in manifest()] == ["done"] * 3 + ["pending"] * 2
    assert not [*Path("out").glob(".*")]
    before = pictures()
    code, out, err = ufc(*flags, "--resume")
    assert code == 0, err
    assert len(out.splitlines()) == 5 - len(before)
    assert [row["status"] for row in manifest()] == ["done"] * 5
    after = pictures()
    assert before.items() <= after.items() and len(after) == 5
    code, _, _ = ufc("generate", "--prompts-file", "out/manifest.jsonl", output_dir="again")
    assert pictures("again") == after, "as if it had never been broken off"


def test_a_disk_that_takes_nothing_at_all(ufc, monkeypatch):
    def full(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        code, out, err = ufc("generate", "--prompt", "bag", "--seed", 1)
    assert (code, out) == (1, "") and one_line(err) and "disk is full" in err
    assert not [*Path("out").iterdir()]
    assert ufc("generate", "--prompt", "bag", "--seed", 1, "--resume")[0] == 0


def test_resume_redraws_what_has_gone(ufc, tmp_path):
    path = prompts(tmp_path)
    assert ufc("generate", "--prompts-file", path, "--batch-size", 3)[0] == 0
    first = pictures()
    for name in [*first][1:3]:
        Path("out", name).unlink()
    code, out, _ = ufc("generate", "--prompts-file", path, "--resume")
    assert code == 0 and len(out.splitlines()) == 2 and pictures() == first


def test_resume_refuses_other_requests(ufc, tmp_path):
    assert ufc("generate", "--prompts-file", prompts(tmp_path))[0] == 0
    path = prompts(tmp_path, guidance_scale=1.5)
    code, _, err = ufc("generate", "--prompts-file", path, "--resume")
    assert code == 2 and "b-9-0.png: was drawn with other values of guidance_scale" in err


def test_resume_leaves_strange_files_alone(ufc):
    Path("out").mkdir()
    Path("out/bag-1-0.png").write_text("mine")
    code, _, _ = ufc("generate", "--prompt", "bag", "--seed", 1, "--resume")
    assert code == 2 and Path("out/bag-1-0.png").read_text() == "mine"


@pytest.mark.parametrize("batch_size", [1, 3])
def test_one_failing_picture_does_not_stop_the_others(ufc, tmp_path, monkeypatch, batch_size):
    real = easel.draw_batch

    def draw(pipe, batch, on_step):
        if any(job.request.id == "b" for job in batch):
            raise RuntimeError("out of\nluck")
        return real(pipe, batch, on_step)

    monkeypatch.setattr(easel, "draw_batch", draw)
    flags = ["generate", "--prompts-file", prompts(tmp_path), "--batch-size", batch_size]
    code, _, err = ufc(*flags)
    assert code == 3 and "b-9-0.png failed: out of luck" in err and "Traceback" not in err
    rows = {row["id"]: row for row in manifest()}
    assert (rows["b"]["status"], rows["b"]["error"]) == ("failed", "out of luck")
    assert len(pictures()) == 4
    monkeypatch.setattr(easel, "draw_batch", real)
    assert ufc(*flags, "--resume")[0] == 0
    assert len(pictures()) == 5 and {row["status"] for row in manifest()} == {"done"}


def test_other_weights_are_noticed(ufc, tmp_path):
    assert ufc("generate", "--prompt", "bag", "--seed", 1)[0] == 0
    [row] = manifest()
    row["versions"]["weights"] = "0" * 12
    path = write(tmp_path / "m.jsonl", row)
    code, _, err = ufc("generate", "--prompts-file", path, output_dir="again")
    assert code == 0 and "was drawn with other weights 000000000000" in err
    write(tmp_path / "out/manifest.jsonl", row)
    code, _, err = ufc("generate", "--prompt", "bag", "--seed", 1, "--resume")
    assert code == 2 and "other values of the model's weights" in err


def test_info_looks_at_every_picture(ufc, capsys):
    ufc("generate", "--prompt", "a", "--seed", 1)
    assert main(["info", "gone.png", "out/a-1-0.png"]) == 2
    captured = capsys.readouterr()
    assert "prompt: a" in captured.out and "gone.png: no such file" in captured.err


# ── bad input: one line, exit code 2, nothing done ──


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generate"], "nothing says what to draw"),
        (["generate", "--prompt", " "], "nothing says what to draw"),
        (["generate", "--prompt", "a", "--seed", "-1"], "seed: got -1"),
        (["generate", "--prompt", "a", "--seed", "x"], 'got the text "x", wanted a valid integer'),
        (["generate", "--prompt", "a", "--order", "best"], "'best' is not one of"),
        (["generate", "--prompt", "a", "--num-candidates", "0"], "num_candidates: got 0"),
        (["generate", "--prompt", "a", "--guidance-scale", "nan"], "guidance_scale: got nan"),
        (["generate", "--prompt", "a", "--batch-size", "0"], "'--batch-size': got"),
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
        (["edit", "--image", "photo.png", "--preserve-blocks", "0-15"], "nothing is left to draw"),
        (["edit", "--image", "gone.png", "--preserve-blocks", "0"], "gone.png: no such file"),
        (["edit", "--image", "photo.png", "--mask-image", "wide.png"], "the mask is 32 x 16"),
        (["edit", "--image", "photo.png", "--mask-image", "black.png"], "keeps the whole image"),
        (
            ["edit", "--image", "photo.png", "--mask-image", "black.png", "--preserve-blocks", "1"],
            "got both",
        ),
        (["draw"], "draw"),
        (["info", "gone.png"], "gone.png: no such file"),
        (["info", "notes.png"], "notes.png: is not a PNG"),
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
        ({"id": "x"}, "nothing says what to draw"),
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
    monkeypatch.setattr(easel, "check_jobs", lambda *_: 1 / 0)
    code, _, err = ufc("generate", "--prompt", "a")
    assert code == 1 and one_line(err) and "ZeroDivisionError" in err and "UFC_DEBUG" in err


# ── the other commands ──


def test_info_reads_a_request_back(ufc, capsys):
    assert ufc("generate", "--prompt", "红 bag", "--seed", 1)[0] == 0
    [name] = pictures()
    assert main(["info", f"out/{name}"]) == 0
    text = capsys.readouterr().out
    assert "prompt: 红 bag" in text and "seed: 1" in text and "compliance: 0." in text
    assert main(["info", "--json", f"out/{name}"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["ufc_metadata"]["request"]["seed"] == 1 and data["ufc_blocks"]["grid"] == 4


def test_info_on_a_picture_that_says_nothing(photo, capsys):
    assert main(["info", str(photo)]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and "holds no request" in captured.err


def test_env(capsys, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_private")
    monkeypatch.setenv("UFC_DEVICE", "cpu")
    assert main(["env"]) == 0
    text = capsys.readouterr().out
    assert "torch" in text and "cpus" in text and "UFC_DEVICE cpu" in text
    assert main(["env", "--json"]) == 0
    output = capsys.readouterr().out
    assert json.loads(output)["packages"]["torch"] and "hf_private" not in text + output


def test_trainers_get_flags_over_recipes(tmp_path, monkeypatch, capsys):
    import vqgan.train

    seen = []
    monkeypatch.setattr(vqgan.train, "main", seen.append)
    recipe = tmp_path / "r.yaml"
    recipe.write_text("learning_rate: 1e-4\nresolution: 32\nch-mult: [1, 2, 4]\nseed: 3\n")
    code = main(
        [
            *("train-tokenizer", "--config", str(recipe), "--train-data-dir", "data"),
            *("--resolution", "64", "--train_batch_size", "2", "--freeze-encoder"),
            *("--resume-from-checkpoint", "latest", "--max-train-minutes", "1.5"),
        ]
    )
    assert code == 0, capsys.readouterr().err
    [config] = seen
    assert (config.learning_rate, config.resolution, config.seed) == (1e-4, 64, 3)
    assert (config.ch_mult, config.train_batch_size) == ((1, 2, 4), 2)
    assert (config.freeze_encoder, config.max_train_minutes) == (True, 1.5)
    assert (config.train_data_dir, config.resume_from_checkpoint) == ("data", "latest")


@pytest.mark.parametrize("command", ["generate", "edit", "train", "train-tokenizer", "info"])
def test_help(command, capsys):
    assert main([command, "--help"]) == 0
    assert "--help" in capsys.readouterr().out


def test_every_flag_that_users_are_told_of():
    """A flag that goes or changes its name breaks people's scripts."""
    from dataclasses import fields

    from ufc.commands.flags import GenerateFlags

    names = {field.name for field in fields(GenerateFlags)}
    assert names >= {
        "prompt",
        "negative_prompt",
        "lang",
        "reference_image",
        "image",
        "mask_image",
        "invert_mask",
        "preserve_blocks",
        "feather",
        "seed",
        "num_images_per_prompt",
        "num_inference_steps",
        "guidance_scale",
        "temperature",
        "num_candidates",
        "num_drafts",
        "order",
        "patience",
        "time_budget",
        "batch_size",
        "model",
        "revision",
        "model_dir",
        "local_files_only",
        "device",
        "dtype",
        "attention_backend",
        "deterministic",
        "prompts_file",
        "output_dir",
        "resume",
        "overwrite",
        "limit",
        "grid",
        "format",
        "no_metadata",
        "dry_run",
        "json",
        "quiet",
    }


def test_help_needs_no_torch():
    code = (
        "import sys\nfrom ufc.cli import main\nassert main(['generate', '--help']) == 0\n"
        "assert main([]) == 0 and main(['--version']) == 0\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
