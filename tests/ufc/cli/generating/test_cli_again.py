"""The command line after a break: made again, resumed, never written over."""

import errno
import os
from datetime import date
from pathlib import Path

import pytest
from cli_helpers import SIDE, manifest, one_line, pictures, prompts, write
from PIL import Image

from ufc.cli.generating import batch_runner
from ufc.cli.main import main


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
    assert code == 0 and out == "" and "0 generated, 1 done before" in err
    assert ufc(*flags, "--resume", "--overwrite")[0] == 2


@pytest.mark.parametrize("trouble", ["interrupt", "full disk"])
def test_broken_off_and_resumed(ufc, tmp_path, monkeypatch, trouble):
    path = prompts(tmp_path)
    flags = ["generate", "--prompts-file", path, "--batch-size", 2]
    real = batch_runner.save_picture
    written = []

    def save(image, target, metadata, **options):
        if len(written) == 3:
            raise KeyboardInterrupt if trouble == "interrupt" else OSError(errno.ENOSPC, "full")
        written.append(target.name)
        real(image, target, metadata, **options)

    with monkeypatch.context() as patch:
        patch.setattr(batch_runner, "save_picture", save)
        code, _, err = ufc(*flags)
    if trouble == "interrupt":
        assert code == 130 and "interrupted" in err
    else:
        assert code == 1 and "disk is full" in err
    assert "--resume" in err and one_line(err)
    assert trouble != "interrupt" or "--resume --output-dir out" in err
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


def test_resume_does_not_start_over_on_another_day(model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UFC_MODEL", str(model))
    flags = ["generate", "--prompt", "bag", "--num-inference-steps", "2"]

    def refused():
        assert main([*flags, "--resume"]) == 2
        err = capsys.readouterr().err
        assert one_line(err)
        return err

    today = f"outputs/{date.today().isoformat()}"
    assert f"--resume: {today} has no manifest.jsonl" in refused()
    assert not Path("outputs").exists()
    assert main(flags) == 0
    assert main([*flags, "--resume"]) == 0
    assert "1 done before" in capsys.readouterr().err
    Path(today).rename("outputs/1999-12-31")
    Path("outputs/1998-01-01").mkdir()
    write(tmp_path / "outputs/1998-01-01/manifest.jsonl", *manifest("outputs/1999-12-31"))
    os.utime("outputs/1998-01-01/manifest.jsonl", (1, 1))
    said = refused()
    assert f"{today} has no" in said and "--output-dir outputs/1999-12-31" in said
    assert not Path(today).exists()
    assert main([*flags, "--resume", "--output-dir", "outputs/1999-12-31"]) == 0
    assert "1 done before" in capsys.readouterr().err


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
    assert code == 2 and "b-9-0.png: was made with other values of guidance_scale" in err


def test_resume_refuses_other_contents_of_input_files(ufc, tmp_path, photo):
    flags = ["generate", "--reference-image", photo, "--prompt", "bag", "--seed", 1]
    assert ufc(*flags)[0] == 0
    drawn, before = pictures(), photo.read_bytes()
    photo.write_bytes(before)
    code, _, err = ufc(*flags, "--resume")
    assert code == 0 and "0 generated, 1 done before" in err
    Image.new("RGB", (SIDE, SIDE), "red").save(photo)
    code, _, err = ufc(*flags, "--resume")
    assert code == 2 and one_line(err) and pictures() == drawn
    assert "was made with other values of the contents of its input files" in err
    assert ufc(*flags, "--overwrite")[0] == 0 and pictures() != drawn
    code, _, err = ufc(*flags, "--resume")
    assert code == 0 and "0 generated, 1 done before" in err


def test_resume_takes_manifests_that_do_not_know_the_input_files(ufc, tmp_path, photo):
    flags = ["generate", "--reference-image", photo, "--prompt", "bag", "--seed", 1]
    assert ufc(*flags)[0] == 0
    [row] = manifest()
    assert len(row.pop("inputs")) == 12
    write(tmp_path / "out/manifest.jsonl", row)
    code, _, err = ufc(*flags, "--resume")
    assert code == 0 and "0 generated, 1 done before" in err


def test_resume_leaves_strange_files_alone(ufc):
    Path("out").mkdir()
    Path("out/bag-1-0.png").write_text("mine")
    code, _, _ = ufc("generate", "--prompt", "bag", "--seed", 1, "--resume")
    assert code == 2 and Path("out/bag-1-0.png").read_text() == "mine"


@pytest.mark.parametrize("batch_size", [1, 3])
def test_one_failing_picture_does_not_stop_the_others(ufc, tmp_path, monkeypatch, batch_size):
    real = batch_runner.generate_batch

    def generate(pipe, batch, files, on_step):
        if any(row.request.id == "b" for row in batch):
            raise RuntimeError("out of\nluck")
        return real(pipe, batch, files, on_step)

    monkeypatch.setattr(batch_runner, "generate_batch", generate)
    flags = ["generate", "--prompts-file", prompts(tmp_path), "--batch-size", batch_size]
    code, _, err = ufc(*flags)
    assert code == 3 and "b-9-0.png failed: out of luck" in err and "Traceback" not in err
    rows = {row["id"]: row for row in manifest()}
    assert (rows["b"]["status"], rows["b"]["error"]) == ("failed", "out of luck")
    assert len(pictures()) == 4
    monkeypatch.setattr(batch_runner, "generate_batch", real)
    assert ufc(*flags, "--resume")[0] == 0
    assert len(pictures()) == 5 and {row["status"] for row in manifest()} == {"done"}


def test_a_picture_that_cannot_be_written_does_not_stop_the_others(ufc, tmp_path):
    path = write(
        tmp_path / "p.jsonl",
        {"id": "a", "prompt": "red bag", "output": "x.png"},
        {"id": "b", "prompt": "red bag", "output": "file/b.png"},
        {"id": "c", "prompt": "red bag"},
    )
    Path("out").mkdir()
    Path("out/file").touch()
    flags = ["generate", "--prompts-file", path, "--seed", 1]
    code, out, err = ufc(*flags, "--batch-size", 3)
    assert code == 3 and "p.jsonl, line 2: file/b.png failed: out/file: File exists" in err
    assert len(out.splitlines()) == 2 and Path("out/c-1-0.png").is_file()
    assert [row["status"] for row in manifest()] == ["done", "failed", "done"]
    assert manifest()[1]["error"] == "out/file: File exists"
    code, out, err = ufc(*flags, "--resume")
    assert (code, out) == (3, "") and "0 generated, 2 done before, 1 failed" in err


@pytest.mark.parametrize("trouble", ["ENOSPC", "EDQUOT", "EIO", "EROFS"])
def test_a_disk_that_fails_ends_the_run(ufc, tmp_path, monkeypatch, trouble):
    def fail(*_, **__):
        raise OSError(getattr(errno, trouble), "trouble")

    flags = ["generate", "--prompts-file", write(tmp_path / "p.txt", "bag", "shirt"), "--seed", 1]
    with monkeypatch.context() as patch:
        patch.setattr(batch_runner, "save_picture", fail)
        code, out, err = ufc(*flags)
    assert (code, out) == (1, "") and one_line(err) and "failed" not in err
    assert [row["status"] for row in manifest()] == ["pending"] * 2
    assert ufc(*flags, "--resume")[0] == 0 and len(pictures()) == 2


def test_other_weights_are_noticed(ufc, tmp_path):
    assert ufc("generate", "--prompt", "bag", "--seed", 1)[0] == 0
    [row] = manifest()
    row["versions"]["weights"] = "0" * 12
    path = write(tmp_path / "m.jsonl", row)
    code, _, err = ufc("generate", "--prompts-file", path, output_dir="again")
    assert code == 0 and "was generated with other weights 000000000000" in err
    write(tmp_path / "out/manifest.jsonl", row)
    code, _, err = ufc("generate", "--prompt", "bag", "--seed", 1, "--resume")
    assert code == 2 and "other values of the model's weights" in err


def test_info_looks_at_every_picture(ufc, capsys):
    ufc("generate", "--prompt", "a", "--seed", 1)
    assert main(["info", "gone.png", "out/a-1-0.png"]) == 2
    captured = capsys.readouterr()
    assert "prompt: a" in captured.out and "gone.png: no such file" in captured.err


def test_a_run_of_an_earlier_version_is_resumed(ufc, tmp_path):
    """Its manifest calls a setting by its old name and does not write all of them."""
    flags = ["generate", "--prompt", "bag", "--seed", 1, "--best-of", 2]
    assert ufc(*flags)[0] == 0
    (row,) = manifest()
    old = {k: v for k, v in row.items() if k not in ("choice_temperature", "compliance_weight")}
    old["num_drafts"] = old.pop("best_of")
    write(tmp_path / "out/manifest.jsonl", old)
    code, _, err = ufc(*flags, "--resume")
    assert code == 0 and "0 generated, 1 done before" in err
    write(tmp_path / "out/manifest.jsonl", old | {"num_drafts": 3})
    code, _, err = ufc(*flags, "--resume")
    assert code == 2 and "other values of best_of" in err
