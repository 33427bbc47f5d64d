"""Manifests and pictures fed back: in the precision that they record, and a word where it is not
to be had or draws otherwise here."""

import json
from pathlib import Path

import pytest
from cli_helpers import manifest, one_line, pictures, prompts, write

from ufc.io.prompts_file import read_rows
from ufc.requests.loading import ModelSettings, choose_settings
from ufc.requests.replay import have_here


def again(ufc, source="out/manifest.jsonl", *flags):
    code, _, err = ufc("generate", "--prompts-file", source, *flags, output_dir="again")
    assert code == 0, err
    return err


def change(path, **backend):
    """The manifest with other things in what drew it."""
    rows = manifest(Path(path).parent)
    for row in rows:
        row["backend"] |= backend
    return write(Path(path), *rows)


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("dtype", ["fp32", "bf16", "int8"])
def test_a_manifest_is_drawn_in_its_own_precision(ufc, tmp_path, dtype, batch_size, monkeypatch):
    monkeypatch.setenv("UFC_CPU_VNNI", "0" if dtype == "int8" else "1")  # auto is another one
    flags = ["--prompts-file", prompts(tmp_path), "--batch-size", batch_size, "--dtype", dtype]
    assert ufc("generate", *flags)[0] == 0
    err = again(ufc)
    assert {row["backend"]["dtype"] for row in manifest("again")} == {dtype}
    assert pictures("again").keys() == pictures().keys()
    drawn = [[row["compliance"], row["fidelity"]] for row in manifest()]
    assert [[row["compliance"], row["fidelity"]] for row in manifest("again")] == drawn
    assert f"dtype {dtype}" not in err and "differ" not in err


@pytest.mark.parametrize("dtype", ["bf16", "int8"])
def test_deterministic_is_recorded_and_makes_batches_like_single_pictures(ufc, tmp_path, dtype):
    flags = ["generate", "--prompts-file", prompts(tmp_path, seed=1), "--seed", 4, "--dtype", dtype]
    assert ufc(*flags, "--deterministic", "--batch-size", 5, "--no-metadata")[0] == 0
    assert ufc(*flags, "--deterministic", "--no-metadata", output_dir="single")[0] == 0
    assert pictures() == pictures("single")
    assert {row["backend"]["deterministic"] for row in manifest()} == {True}
    again(ufc, "out/manifest.jsonl", "--no-metadata", "--batch-size", 2)
    assert pictures("again") == pictures()
    assert {row["backend"]["deterministic"] for row in manifest("again")} == {True}


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_a_picture_is_drawn_again_from_itself(ufc, suffix):
    flags = ["generate", "--prompt", "red bag", "--seed", 3, "--dtype", "bf16"]
    assert ufc(*flags, "--format", suffix)[0] == 0
    [path] = Path("out").glob(f"*-3-0.{suffix}")
    assert "differ" not in again(ufc, path)
    assert (Path("again") / path.name).read_bytes() == path.read_bytes()


def test_pictures_that_cannot_be_drawn_again_say_so(ufc, photo):
    code, _, err = ufc("generate", "--prompts-file", photo)
    assert code == 2 and one_line(err) and "holds no request" in err
    assert ufc("generate", "--prompt", "bag", "--reference-image", photo, "--seed", 1)[0] == 0
    code, _, err = ufc("generate", "--prompts-file", "out/bag-1-0.png", output_dir="again")
    assert code == 2 and one_line(err) and "give the manifest.jsonl of its folder" in err


def test_emulation_is_said(ufc, monkeypatch):
    assert ufc("generate", "--prompt", "bag", "--seed", 1, "--dtype", "bf16")[0] == 0
    monkeypatch.setenv("UFC_CPU_BF16", "0")
    assert "bf16, which this processor emulates" in again(ufc)
    monkeypatch.setenv("UFC_CPU_BF16", "1")
    assert "emulates" not in again(ufc, "out/manifest.jsonl", "--overwrite")


def test_another_processor_is_said(ufc, monkeypatch):
    assert ufc("generate", "--prompt", "bag", "--seed", 1)[0] == 0
    change("out/manifest.jsonl", processor="avx2")
    err = again(ufc)
    assert "processor avx2 (now " in err and "pictures may differ" in err


def test_what_is_not_here_is_left_out_with_a_word(ufc, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert ufc("generate", "--prompt", "bag", "--seed", 1)[0] == 0
    recorded = {"device": "cuda", "dtype": "fp7", "attention_backend": "magic"}
    change("out/manifest.jsonl", **recorded)
    err = again(ufc)
    for name, value in recorded.items():
        assert f"made with {name} {value}, which is not to be had here" in err
    assert manifest("again")[0]["backend"]["device"] == "cpu"
    flags = ["generate", "--prompts-file", "out/manifest.jsonl", "--device", "cuda"]
    code, _, err = ufc(*flags, output_dir="third")
    assert code == 2 and "no CUDA device here" in err


def test_flags_go_before_what_is_recorded(ufc, tmp_path):
    assert ufc("generate", "--prompt", "bag", "--seed", 1, "--dtype", "bf16")[0] == 0
    results = [row.picture for row in read_rows("out/manifest.jsonl")]
    assert choose_settings({}, results).dtype == "bf16"
    assert choose_settings({"dtype": "fp32"}, results).dtype == "fp32"
    other = json.loads(json.dumps(manifest()[0])) | {"file_name": "b.png"}
    other["backend"]["dtype"] = "fp32"
    both = write(tmp_path / "both.jsonl", *manifest(), other)
    assert choose_settings({}, [row.picture for row in read_rows(both)]).dtype == "auto"


def test_nothing_is_said_of_flags_and_of_new_pictures(ufc, monkeypatch):
    monkeypatch.setenv("UFC_CPU_BF16", "0")
    settings = ModelSettings(dtype="bf16")
    assert have_here(settings, {"dtype": "bf16"}) == (settings, [])
    assert have_here(ModelSettings(), {}) == (ModelSettings(), [])
