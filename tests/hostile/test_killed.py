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
from typing import Any

import pytest

from ufc.cli.main import main as ufc
from ufc_base.entry import exit_code

from . import kills
from .kills.__main__ import missing
from .kills.base import Job, Work, different, killed_run, whole_files, whole_run
from .kills.models import Models
from .kills.of_pictures import ended
from .kills.processes import started

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system with fork")
NOBODY = 65534
JOBS = ("generate", "edit", "train-tokenizer", "train", "token cache", "statistics", "weights",
        "session", "server")  # fmt: skip
Whole = tuple[float, Any]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return Models(tmp_path_factory.mktemp("killed-models"))


@pytest.fixture(scope="module")
def jobs(models: Models) -> dict[str, Job]:
    return kills.jobs(models)


@pytest.fixture(scope="module")
def whole(jobs: dict[str, Job], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Whole]:
    """A job's seconds and what is there at its end, where nothing comes in between; done once."""
    known: dict[str, Whole] = {}

    def run(name: str) -> Whole:
        if name not in known:
            folder = tmp_path_factory.mktemp("whole") / "work"
            seconds = whole_run(jobs[name], folder)
            known[name] = seconds, jobs[name].state(folder)
        return known[name]

    return run


@pytest.mark.parametrize("name", JOBS)
def test_what_was_killed_ends_as_if_it_had_not_been(
    name: str, jobs: dict[str, Job], whole: Callable[[str], Whole], tmp_path: Path
) -> None:
    if name == "server":
        for needed in ("fastapi", "uvicorn", "prometheus_client", "python_multipart", "httpx"):
            pytest.importorskip(needed)
    seconds, state = whole(name)
    killed_run(jobs[name], tmp_path / "killed", seconds, random.Random(name), 1)
    assert not different(state, jobs[name].state(tmp_path / "killed"))


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


def told(work: Callable[[], object]) -> Callable[[], None]:
    """Work whose errors are told as programs do: one line, and an exit code."""

    def do() -> None:
        work()

    return lambda: ended(exit_code(do))


@pytest.mark.parametrize("name", JOBS[:-1])
def test_a_full_disk_loses_nothing_of_other_work(
    name: str,
    jobs: dict[str, Work],
    whole: Callable[[str], Whole],
    tmp_path: Path,
    child: Callable[..., tuple[int | None, str]],
) -> None:
    job, folder = jobs[name], tmp_path / "work"
    folder.mkdir()
    code, said = child(limited(2000, told(lambda: job.do(folder))))
    assert code not in (None, 0) or name == "session"
    assert "Traceback" not in said
    if name != "session":  # a visitor is told on the page
        assert "File too large" in said and str(folder) in said
    whole_files(folder)
    assert child(told(lambda: job.do(folder)))[0] == 0
    assert not different(whole(name)[1], job.state(folder))


def let_all_read(folder: Path, models: Models) -> None:
    for path in (folder, *folder.parents, models.folder, *models.folder.parents):
        if path != Path("/") and path.stat().st_uid == 0 and "pytest" in str(path):
            path.chmod(0o755)
    for path in models.model.rglob("*"):  # safetensors writes for its user alone
        path.chmod(0o755)


OTHER_USER = pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0, reason="becomes another user"
)


@OTHER_USER
@pytest.mark.parametrize("name", ["edit", "train", "train-tokenizer"])
def test_other_work_in_a_folder_that_cannot_be_written_to(
    name: str,
    jobs: dict[str, Work],
    models: Models,
    tmp_path: Path,
    child: Callable[..., tuple[int | None, str]],
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    let_all_read(tmp_path, models)
    folder.chmod(0o555)

    def as_nobody() -> None:
        os.seteuid(NOBODY)
        told(lambda: jobs[name].do(folder))()

    code, said = child(as_nobody)
    assert code not in (0, None) and "Traceback" not in said
    assert str(folder) in said and said.count("error: ") + said.count("ufc: ") == 1
    assert not list(folder.iterdir())


@OTHER_USER
def test_a_folder_that_cannot_be_written_to_is_one_line(
    models: Models, tmp_path: Path, child: Callable[..., tuple[int | None, str]]
) -> None:
    out = tmp_path / "out"
    assert child(lambda: ended(ufc(flags(models, out, 2))))[0] == 0
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    let_all_read(tmp_path, models)

    def as_nobody() -> None:
        os.seteuid(NOBODY)
        ended(ufc(flags(models, out)))

    code, said = child(as_nobody)
    assert code == 2 and "cannot be written to" in said and "Traceback" not in said
    assert str(out) in said
    assert before == {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}


@pytest.mark.parametrize("name", ["generate", "edit", "train-tokenizer", "train", "statistics"])
def test_a_clock_that_is_set_back_changes_nothing(
    name: str,
    jobs: dict[str, Job],
    whole: Callable[[str], Whole],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only differences of a clock that never goes back are taken; files are known by content."""
    seconds, state = whole(name)
    monkeypatch.setattr(time, "time", lambda: 1000.0 - time.monotonic())
    killed_run(jobs[name], tmp_path / "back", seconds, random.Random(name), 1)
    assert not different(state, jobs[name].state(tmp_path / "back"))
