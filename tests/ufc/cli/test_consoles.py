"""What is printed never ends a run: consoles without our letters, and those that have gone away."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_helpers import pictures

from ufc.cli.terminal import Terminal
from ufc_base.entry import exit_code, shown_on, write_line

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
