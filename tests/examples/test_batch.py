"""Batch jobs under Slurm and Ray have the pictures of one process."""

from __future__ import annotations

import importlib.util
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from example_files import load_example
from PIL import Image

from ufc.cli.main import main
from ufc.io.manifest import manifest_parts, read_manifest
from ufc_base.training.ranks import Ranks, ranks_from_environment

ROOT = Path(__file__).parents[2]
SBATCH = ROOT / "examples" / "batch.sbatch"

# Starts the command after its options once for each task, as Slurm's `srun` does, each as the first
# of its node. Tasks that LOST names are not started; the highest exit code is its own.
SRUN = f"""#!{sys.executable}
import os, subprocess, sys

command = sys.argv[1:]
while command[0].startswith("--"):
    command.pop(0)
count, lost = int(os.environ["SLURM_NTASKS"]), os.environ.get("LOST", "").split()
started = [
    subprocess.Popen(command, env=os.environ | {{
        "SLURM_PROCID": str(task), "SLURM_LOCALID": "0",
    }})
    for task in range(count) if str(task) not in lost
]
sys.exit(max([*(task.wait() for task in started), 1 if lost else 0]))
"""


@pytest.fixture(scope="module")
def example() -> Any:
    return load_example("ray_batch")


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    rows = [{"id": f"p{n}", "prompt": colour} for n, colour in enumerate(["red bag", "blue"] * 4)]
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def flags(model: Path, prompts: Path, out: Path) -> list[str]:
    return ["--model", str(model), "--prompts-file", str(prompts), "--output-dir", str(out),
            "--num-inference-steps", "2", "--seed", "1", "--quiet"]  # fmt: skip


def submit(arguments: list[str], folder: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run the script as a job of two tasks, each on a node of its own."""
    srun = folder / "bin" / "srun"
    srun.parent.mkdir(exist_ok=True)
    srun.write_text(SRUN)
    srun.chmod(srun.stat().st_mode | stat.S_IXUSR)
    job = {
        "PATH": f"{srun.parent}:{os.environ['PATH']}", "PYTHON": sys.executable,
        "PYTHONPATH": str(ROOT), "SLURM_JOB_ID": "42", "SLURM_NTASKS": "2",
        "SLURM_CPUS_PER_TASK": "1",
    }  # fmt: skip
    return subprocess.run(
        ["bash", str(SBATCH), *arguments],
        env=os.environ | job | changes, cwd=folder, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def pixels(folder: Path) -> dict[str, bytes]:
    return {path.name: np.asarray(Image.open(path)).tobytes() for path in folder.glob("*.png")}


def told(folder: Path) -> list[dict[str, Any]]:
    """A manifest's lines, without what differs from run to run (a job's tasks share threads)."""
    rows = read_manifest(folder / "manifest.jsonl").values()
    differs = ("seconds", "group", "backend")
    return [{k: v for k, v in row.items() if k not in differs} for row in rows]


def assert_as_one_process(out: Path, arguments: list[str], alone: Path) -> None:
    at = arguments.index("--output-dir") + 1
    assert main(["generate", *arguments[:at], str(alone), *arguments[at + 1 :]]) == 0
    assert pixels(out) == pixels(alone) and len(pixels(out)) == 8
    assert told(out) == told(alone)
    assert not manifest_parts(out)


def test_a_slurm_job_loses_a_node_and_is_submitted_again(
    model: Path, prompts: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = flags(model, prompts, out)
    broken = submit(arguments, tmp_path, LOST="1")
    assert broken.returncode == 1 and "submit the same command again" in broken.stderr
    before = pixels(out)
    assert len(before) == 4
    whole = submit(arguments, tmp_path)
    assert whole.returncode == 0, whole.stderr
    assert before.items() <= pixels(out).items()
    assert_as_one_process(out, arguments, tmp_path / "alone")


def test_a_slurm_job_whose_input_is_wrong_says_so(tmp_path: Path) -> None:
    done = submit(["--prompts-file", "none.jsonl", "--output-dir", "out"], tmp_path, LOST="0")
    assert done.returncode == 2
    assert "none.jsonl" in done.stderr and "Traceback" not in done.stderr


def test_slurm_reads_its_directives() -> None:
    """It stops looking for them at the first line that is no comment."""
    lines = SBATCH.read_text(encoding="utf-8").splitlines()
    first = next(n for n, line in enumerate(lines) if line and not line.startswith("#"))
    assert any(line.startswith("#SBATCH") for line in lines[:first])
    assert not any(line.startswith("#SBATCH") for line in lines[first:])


def test_workers_are_ranks_of_one_run(example: Any) -> None:
    found = [ranks_from_environment(example.worker_environment(n, 3, "run")) for n in range(3)]
    assert found == [Ranks(n, 3, 0, "run") for n in range(3)]


def test_a_share_is_a_process_of_its_own(
    example: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: list[str], **how: Any) -> Any:
        assert command == [sys.executable, "-m", "ufc", "generate", "--seed", "1", "--resume"]
        assert how["cwd"] == str(tmp_path) and how["env"].items() >= os.environ.items()
        assert how["env"]["RANK"] == "1"
        return SimpleNamespace(returncode=7)

    monkeypatch.setattr(example.subprocess, "run", run)
    environment = example.worker_environment(1, 2, "run")
    monkeypatch.delenv("RANK", raising=False)
    assert example.generate(str(tmp_path), environment, ["--seed", "1"]) == 7


def test_without_ray_a_line_says_so(
    example: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert example.main(["--smoke"]) == 1
    assert capsys.readouterr().err == "ray_batch: Ray is not installed; run pip install ray\n"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [(["--workers", "0", "--smoke"], "wanted at least 1"), ([], "--prompts-file and --output-dir")],
)
def test_what_is_wrong_is_named(
    example: Any, wrong: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        example.main(wrong)
    assert said in capsys.readouterr().err


class FakeRay:
    """Has tasks end as `codes` says by rank, one after another; None is a machine that is gone."""

    exceptions = SimpleNamespace(RayError=ConnectionError)

    def __init__(self, codes: dict[str, list[int | None]]) -> None:
        self.codes = codes
        self.started: list[str] = []

    def remote(self, **_: Any) -> Any:
        return lambda function: SimpleNamespace(remote=self.start)

    def start(self, folder: str, environment: dict[str, str], flags: list[str]) -> int | None:
        self.started.append(environment["RANK"])
        left = self.codes.get(environment["RANK"], [])
        return left.pop(0) if left else 0

    def get(self, task: int | None) -> int:
        if task is None:
            raise ConnectionError("the machine is gone")
        return task


@pytest.mark.parametrize(
    ("codes", "started", "ended"),
    [
        ({"1": [-9]}, "011", [0, 0]),
        ({"0": [None], "1": [3, 3, 3]}, "01011", [0, 3]),
        ({"0": [2], "1": [3]}, "01", [2, 3]),  # wrong input stays wrong
    ],
)
def test_what_fails_is_tried_again(
    example: Any, codes: dict[str, list[int | None]], started: str, ended: list[int]
) -> None:
    ray = FakeRay(codes)
    options, left = example.parse(["--workers", "2", "--retries", "2", "--smoke", "--quiet"])
    assert left == ["--quiet"]
    assert list(example.run_shares(ray, options, left).values()) == ended
    assert "".join(ray.started) == started


def test_ray_itself(model: Path, prompts: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed")
    arguments = flags(model, prompts, tmp_path / "out")
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "ray_batch.py"), "--workers", "2", *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    if "Ray did not start" in done.stderr:  # it gives itself seconds, too few on a busy machine
        pytest.skip(done.stderr[-300:])
    assert done.returncode == 0, done.stderr
    assert "2 workers are done" in done.stderr
    assert_as_one_process(tmp_path / "out", arguments, tmp_path / "alone")
