"""What is printed never ends a run: consoles without our letters, and those that have gone away."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_helpers import one_line, pictures
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ufc.cli.main import main
from ufc.cli.terminal import Terminal
from ufc.io.validation import RequestError
from ufc_base.arrays import ImageError
from ufc_base.checkpoint import CheckpointError
from ufc_base.data.names import DataError
from ufc_base.entry import exit_code, shown_on, write_line
from ufc_base.visible_text import is_plain_line

PROMPT = "女士粉色休闲上衣 👗 é"
ROOT = Path(__file__).parent.parent


def run(model: Path, folder: Path, *flags: str, **more: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "ufc", "generate", "--prompt", PROMPT, "--seed", "1",
               "--num-images-per-prompt", "3", "--num-inference-steps", "1", "--model", str(model),
               "--output-dir", str(folder), *flags]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    return subprocess.run(command, env=environment, check=False, **more)


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_a_console_of_ascii(model: Path, tmp_path: Path, flags):
    done = run(model, tmp_path / "out", *flags, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert len(pictures(tmp_path / "out")) == 3
    lines = done.stdout.decode("ascii").splitlines()
    assert len(lines) == 3
    if flags:
        assert [json.loads(line)["prompt"] for line in lines] == [PROMPT] * 3
    else:
        assert "\\u5973\\u58eb" in lines[0]


def test_a_reader_that_leaves(model: Path, tmp_path: Path):
    reader, writer = os.pipe()
    os.close(reader)
    done = run(model, tmp_path / "out", stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert done.returncode == 0 and len(pictures(tmp_path / "out")) == 3
    assert b"Traceback" not in done.stderr and b"Broken" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_behind_the_console(model: Path, tmp_path: Path):
    with open("/dev/full", "wb") as full:
        done = run(model, tmp_path / "out", stdout=full, stderr=full)
    assert done.returncode == 0 and len(pictures(tmp_path / "out")) == 3


def ascii_stream() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")


def written(stream: io.TextIOWrapper) -> str:
    return stream.buffer.getvalue().decode("ascii")  # type: ignore[attr-defined]


def test_results_and_errors_on_such_a_stream(monkeypatch: pytest.MonkeyPatch):
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, ascii_stream())
    data = {"prompt": PROMPT, "path": "caf\udce9"}
    Terminal(as_json=True).result("", data)
    Terminal().result("é", {})
    Terminal().notice("女 caf\udce9")
    first, second = written(sys.stdout).splitlines()  # type: ignore[arg-type]
    assert json.loads(first) == data and second == "\\xe9"
    assert written(sys.stderr).startswith("\\u5973 caf")  # type: ignore[arg-type]


def test_modules_write_so_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdout", ascii_stream())
    assert exit_code(lambda: "女") == 0
    assert written(sys.stdout) == "\\u5973\n"  # type: ignore[arg-type]


def test_streams_that_are_closed_or_missing():
    closed = io.StringIO()
    closed.close()
    write_line(closed, "a")
    write_line(None, "a")
    assert shown_on(io.StringIO(), "caf\udce9 女") == "caf\\udce9 女"


OBEYED = [chr(n) for n in (*range(32), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F,
                           *range(0x2028, 0x202F), *range(0x2066, 0x206A))]  # fmt: skip
EVIL = "red\x1b[31m \x1b]0;title\x07\x9b2J\u202egab\u2069 包👩\u200d🔧\nmodel: trusted"
SAFE = "red\\u001b[31m \\u001b]0;title\\u0007\\u009b2J\\u202egab\\u2069 包👩\u200d🔧"


@pytest.mark.parametrize("letter", OBEYED, ids=ascii)
def test_what_a_terminal_would_obey_is_escaped(letter: str):
    stream = io.StringIO()
    write_line(stream, f"包{letter}é")
    keeps = letter in "\n\t"
    assert stream.getvalue() == f"包{letter if keeps else f'{chr(92)}u{ord(letter):04x}'}é\n"
    for kind in (RequestError, ImageError, DataError, CheckpointError):
        assert is_plain_line(str(kind(f"a{letter}b")))


def test_errors_are_one_line(capsys: pytest.CaptureFixture[str]):
    def fails() -> str:
        raise ValueError(f"{EVIL}\0")

    assert exit_code(fails) == 2
    said = capsys.readouterr().err
    assert one_line(said) and is_plain_line(said[:-1]) and said.startswith(f"error: {SAFE}")


def test_info_of_a_picture_that_would_command_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    told = {"format": 1, "request": {"prompt": EVIL, "x\x1b\ny": 1}, "model\x1b": [EVIL]}
    info = PngInfo()
    info.add_itxt("ufc_metadata", json.dumps(told))
    Image.new("RGB", (8, 8)).save(tmp_path / "evil.png", pnginfo=info)
    info.add_itxt("parameters", EVIL)
    Image.new("RGB", (8, 8)).save(tmp_path / "both.png", pnginfo=info)
    plain = PngInfo()
    plain.add_itxt("parameters", EVIL)
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png", pnginfo=plain)
    for name in ("evil", "both", "plain"):
        file = str(tmp_path / f"{name}.png")
        assert main(["info", file]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert all(is_plain_line(line) for line in lines) and len(lines) < 12
        assert any(SAFE in line for line in lines)
        if name != "plain":
            assert not any(line.startswith("model: trusted") for line in lines)
        assert main(["info", "--json", file]) == 0
        out = capsys.readouterr().out
        assert is_plain_line(out[:-1]) and "包" in out
        said = json.loads(out)
        assert EVIL in (
            said["parameters"],
            ((said["ufc_metadata"] or {}).get("request") or {}).get("prompt"),
        )


def test_help_and_tables_keep_their_lines(capsys: pytest.CaptureFixture[str]):
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert said.count("\n") > 20 and "\\u" not in said
    assert exit_code(lambda: "a\tb\n1\t2") == 0
    assert capsys.readouterr().out == "a\tb\n1\t2\n"
