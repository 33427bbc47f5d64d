"""A sample of `kills`, and disks that are full, folders that are read-only, clocks set back."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ufc.cli.main import main as ufc

from . import kills
from .kills.__main__ import missing
from .kills.base import Job, Work, different, killed_run, whole_files, whole_run
from .kills.models import Models
from .kills.of_pictures import ended
from .kills.processes import started

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system with fork")
NOBODY = 65534


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return Models(tmp_path_factory.mktemp("killed-models"))


@pytest.fixture(scope="module")
def jobs(models: Models) -> dict[str, Job]:
    return kills.jobs(models)


@pytest.mark.parametrize(
    "name",
    [
        "generate",
        "edit",
        "train-tokenizer",
        "train",
        "token cache",
        "statistics",
        "weights",
        "session",
        "server",
    ],
)
def test_what_was_killed_ends_as_if_it_had_not_been(
    name: str, jobs: dict[str, Job], tmp_path: Path
) -> None:
    if name == "server":
        for needed in ("fastapi", "uvicorn", "prometheus_client", "python_multipart", "httpx"):
            pytest.importorskip(needed)
    job = jobs[name]
    seconds = whole_run(job, tmp_path / "whole")
    killed_run(job, tmp_path / "killed", seconds, random.Random(name), 1)
    assert not different(job.state(tmp_path / "whole"), job.state(tmp_path / "killed"))


def test_every_signal_is_counted_of_its_own() -> None:
    rows = [{"job": "a", "kills": {"SIGKILL": 3, "SIGTERM": 1}}, {"job": "a", "kills": {"SIGTERM": 2}},
            {"job": "b", "kills": {"SIGINT": 9}}]  # fmt: skip
    assert missing(rows, "a", 1) == [signal.SIGINT]
    assert missing(rows, "a", 3) == [signal.SIGINT]
    assert missing(rows, "a", 4) == list(kills.base.SIGNALS)
    rows.append({"job": "a", "kills": {"unknown": 1}})
    assert missing(rows, "a", 1) == []


@pytest.fixture
def child(tmp_path: Path) -> Callable[[Callable[[], object]], tuple[int | None, str]]:
    """Do something in a process of its own; its exit code and what it said."""

    def run(work: Callable[[], object]) -> tuple[int | None, str]:
        log = tmp_path / "log"
        code = started(work, log).ends(120)
        return code, log.read_text()

    return run


def limited(size: int, work: Callable[[], object]) -> Callable[[], object]:
    """Work that can write no file of more bytes, as on a disk that is full."""

    def run() -> object:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        return work()

    return run


def flags(models: Models, out: Path, count: int = 6) -> list[str]:
    return ["generate", "--prompt", "red bag", "--seed", "1", "--num-images-per-prompt", str(count),
            "--num-inference-steps", "2", "--model", str(models.model), "--output-dir", str(out),
            "--resume"]  # fmt: skip


def test_a_full_disk_is_an_error_and_what_is_there_stays(
    models: Models, tmp_path: Path, child: Callable[..., tuple[int | None, str]]
) -> None:
    out = tmp_path / "out"
    assert child(lambda: ended(ufc(flags(models, out, 2))))[0] == 0
    before = {path.name: path.read_bytes() for path in out.glob("*.png")}
    for size in (900, 3000):  # what is said has room
        code, said = child(limited(size, lambda: ended(ufc(flags(models, out)))))
        assert code not in (0, None) and "Traceback" not in said
        assert "File too large" in said and str(out) in said
        whole_files(out)
        assert before.items() <= {p.name: p.read_bytes() for p in out.glob("*.png")}.items()
    assert child(lambda: ended(ufc(flags(models, out))))[0] == 0
    rows = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert [row["status"] for row in rows] == ["done"] * 6


@pytest.mark.parametrize("name", ["train", "token cache", "statistics", "weights", "session"])
def test_a_full_disk_loses_nothing_of_other_work(
    name: str, jobs: dict[str, Work], tmp_path: Path, child: Callable[..., tuple[int | None, str]]
) -> None:
    job, folder = jobs[name], tmp_path / "work"
    folder.mkdir()
    code, _ = child(limited(2000, lambda: job.do(folder)))
    assert code not in (None, 0) or name == "session"
    whole_files(folder)
    assert child(lambda: job.do(folder))[0] == 0
    whole_run(job, tmp_path / "whole")
    assert not different(job.state(tmp_path / "whole"), job.state(folder))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="becomes another user")
def test_a_folder_that_cannot_be_written_to_is_one_line(
    models: Models, tmp_path: Path, child: Callable[..., tuple[int | None, str]]
) -> None:
    out = tmp_path / "out"
    assert child(lambda: ended(ufc(flags(models, out, 2))))[0] == 0
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    for path in (tmp_path, *tmp_path.parents, models.folder, *models.folder.parents):
        if path != Path("/") and path.stat().st_uid == 0 and "pytest" in str(path):
            path.chmod(0o755)
    for path in models.model.rglob("*"):  # safetensors writes for its user alone
        path.chmod(0o755)

    def as_nobody() -> None:
        os.seteuid(NOBODY)
        ended(ufc(flags(models, out)))

    code, said = child(as_nobody)
    assert code == 2 and "cannot be written to" in said and "Traceback" not in said
    assert before == {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}


def test_a_clock_that_is_set_back_changes_nothing(
    jobs: dict[str, Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only differences of a clock that never goes back are taken; files are known by content."""
    seconds = {name: whole_run(jobs[name], tmp_path / name) for name in ("generate", "train")}
    monkeypatch.setattr(time, "time", lambda: 1000.0 - time.monotonic())
    for name in seconds:
        folder = tmp_path / f"{name}-back"
        killed_run(jobs[name], folder, seconds[name], random.Random(name), 1)
        assert not different(jobs[name].state(tmp_path / name), jobs[name].state(folder))
