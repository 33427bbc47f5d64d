"""`ufc app`: what it starts, and what it refuses before anything is started."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("streamlit", reason="the editor's extra is not installed")

from streamlit.web import cli

from ufc.cli.app import only_server
from ufc.cli.main import main


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[str]]]:
    """What Streamlit would have been started with; the environment that it was given goes again."""
    runs: list[list[str]] = []

    def run(arguments: list[str], **settings: Any) -> None:
        runs.append(arguments)

    monkeypatch.setattr(cli, "main", run)
    before = dict(os.environ)
    for name in ("UFC_OUTPUT_DIR", "UFC_LANG", "UFC_DEVICE", "UFC_DTYPE", "UFC_MODEL"):
        os.environ.pop(name, None)
    yield runs
    os.environ.clear()
    os.environ.update(before)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_it_listens_to_this_machine_alone_and_tells_nobody(
    started: list[list[str]], tmp_path: Path
) -> None:
    port = free_port()
    out = tmp_path / "out"
    assert main(["app", "--port", str(port), "--output-dir", str(out), "--lang", "zh"]) == 0
    (run,) = started
    assert Path(run[1]).name == "app.py"
    for flag in (
        "--server.address=127.0.0.1",
        f"--server.port={port}",
        "--server.fileWatcherType=none",
        "--runner.postScriptGC=false",
        "--browser.gatherUsageStats=false",
        "--server.maxUploadSize=32",
    ):
        assert flag in run
    assert os.environ["UFC_OUTPUT_DIR"] == str(out.resolve())
    assert os.environ["UFC_LANG"] == "zh"


def test_a_wider_address_must_be_asked_for(started: list[list[str]], tmp_path: Path) -> None:
    flags = ["--host", "0.0.0.0", "--port", str(free_port()), "--output-dir", str(tmp_path / "o")]
    assert main(["app", *flags]) == 0
    assert "--server.address=0.0.0.0" in started[0]


def test_a_port_that_is_taken_is_said_plainly(
    started: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["app", "--port", str(port), "--output-dir", str(tmp_path / "o")]) == 2
    error = capsys.readouterr().err
    assert f"port {port}" in error
    assert error.count("\n") == 1
    assert not started


def test_a_folder_has_one_server(
    started: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["app", "--port", str(free_port()), "--output-dir", str(tmp_path / "o")]
    (tmp_path / "o").mkdir()
    with only_server(tmp_path / "o"):
        assert main(flags) == 2
    error = capsys.readouterr().err
    assert "another --output-dir" in error
    assert error.count("\n") == 1
    assert not started
    assert main(flags) == 0  # the other is gone


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model", "no-such-model"], "no model"),
        (["--output-dir", __file__], "is a file"),
        (["--port", "70000"], "65535"),
    ],
)
def test_bad_input_ends_before_the_server_begins(
    started: list[list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    message: str,
) -> None:
    base = ["app", "--port", str(free_port()), "--output-dir", str(tmp_path / "out")]
    assert main([*base, *flags]) == 2
    assert message in capsys.readouterr().err
    assert not started
