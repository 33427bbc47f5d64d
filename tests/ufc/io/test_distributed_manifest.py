"""Several processes draw into one folder: each its share, and a death costs one picture."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import make_pipeline
from PIL import Image

from ufc.cli.main import main
from ufc.io.batch_plan import agreed_seed
from ufc.io.distributed_manifest import SharedManifest, is_held
from ufc.io.manifest import manifest_parts, read_folder, read_manifest
from ufc.io.validation import RequestError
from ufc_base.training.ranks import Ranks, ranks_from_environment

ROOT = Path(__file__).parents[3]

# Runs `ufc` with the arguments given, and is killed as it begins to write picture number KILL_AT.
KILLED = """
import os, signal, sys
import ufc.cli.generating.batch_runner as easel
from ufc.cli.main import main

real, left = easel.save_picture, [int(os.environ["KILL_AT"])]

def save(*arguments, **options):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    real(*arguments, **options)

easel.save_picture = save
sys.exit(main(sys.argv[1:]))
"""


def start(rank: int, count: int, arguments: list[str], kill_at: int = 0) -> subprocess.Popen[str]:
    environment = os.environ | {
        "RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_RANK": str(rank),
        "TORCHELASTIC_RUN_ID": "run",
        "KILL_AT": str(kill_at), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    command = [sys.executable, "-c", KILLED, *arguments]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def pixels(folder: Path) -> dict[str, bytes]:
    return {
        path.name: np.asarray(Image.open(path)).tobytes() for path in sorted(folder.glob("*.png"))
    }


def test_shares_are_the_whole_without_overlap() -> None:
    shares = [Ranks(rank, 3).share(range(10)) for rank in range(3)]
    assert sorted(item for share in shares for item in share) == list(range(10))


@pytest.mark.parametrize("wrong", [{"RANK": "x"}, {"RANK": "2", "WORLD_SIZE": "2"}])
def test_a_wrong_environment_is_named(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="RANK"):
        ranks_from_environment(wrong)


def test_processes_agree_on_seeds() -> None:
    assert agreed_seed("run", "a") == agreed_seed("run", "a") != agreed_seed("other", "a")
    assert 0 <= agreed_seed("run", "a") < 2**32
    for nameless in ("", "none"):  # the next run would generate the same
        with pytest.raises(RequestError, match="give --seed"):
            agreed_seed(nameless, "a")


def row(name: str, status: str = "pending") -> dict[str, str]:
    return {"id": "a", "file_name": name, "status": status}


def test_parts_become_one_manifest_in_the_order_of_the_plan(tmp_path: Path) -> None:
    plan = [row(f"{n}.png") for n in range(4)]
    first, second = (SharedManifest(tmp_path, Ranks(rank, 2), plan) for rank in range(2))
    second.begin(plan[1::2])
    first.begin(plan[::2])
    for manifest, names in ((second, ("3.png", "1.png")), (first, ("0.png", "2.png"))):
        for name in names:
            manifest.record(row(name, "done"))
    assert is_held(first.part) and len(manifest_parts(tmp_path)) == 2
    assert [r["status"] for r in read_folder(tmp_path).values()] == ["done"] * 4
    second.close()
    assert [r["status"] for r in read_manifest(first.path).values()] == [
        "pending", "done", "pending", "done",
    ]  # fmt: skip
    first.close()
    lines = [json.loads(line) for line in first.path.read_text().splitlines()]
    assert lines == [row(f"{n}.png", "done") for n in range(4)]
    assert not manifest_parts(tmp_path)


def test_the_sheet_shows_the_pictures_of_all_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_pipeline().save_pretrained(tmp_path / "tiny")
    (tmp_path / "prompts.txt").write_text("red bag\nblue bag\nred shirt\n")
    out = tmp_path / "out"
    arguments = ["generate", "--model", str(tmp_path / "tiny"), "--num-inference-steps", "1",
                 "--prompts-file", str(tmp_path / "prompts.txt"), "--output-dir", str(out),
                 "--grid", "--quiet"]  # fmt: skip
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "run")
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        assert main(arguments) == 0
    with Image.open(out / "grid.png") as sheet:
        assert sheet.size == (2 * 18 + 2, 2 * 18 + 2), "three pictures of 16 px in two rows"


def test_a_killed_process_is_made_up_for(tmp_path: Path) -> None:
    model = tmp_path / "tiny"
    make_pipeline().save_pretrained(model)
    prompts = tmp_path / "prompts.jsonl"
    rows = [{"id": f"p{n}", "prompt": "red bag"} for n in range(7)]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / "out"
    arguments = ["generate", "--model", str(model), "--prompts-file", str(prompts),
                 "--num-inference-steps", "2", "--output-dir", str(out)]  # fmt: skip
    alive, killed = start(0, 2, arguments), start(1, 2, arguments, kill_at=2)
    _, told = alive.communicate(timeout=120)
    killed.communicate(timeout=120)
    assert alive.returncode == 0, told
    assert killed.returncode < 0
    found = read_folder(out)
    assert [r["id"] for r in found.values()] == [r["id"] for r in rows], "all are in the books"
    done = [r["id"] for r in found.values() if r["status"] == "done"]
    assert done == ["p0", "p1", "p2", "p4", "p6"]
    before = pixels(out)
    assert len(before) == 5

    assert main([*arguments, "--resume"]) == 0
    after = pixels(out)
    assert before.items() <= after.items() and len(after) == 7
    assert [r["status"] for r in read_manifest(out / "manifest.jsonl").values()] == ["done"] * 7
    assert not manifest_parts(out)

    again = tmp_path / "again"
    manifest = ["--prompts-file", str(out / "manifest.jsonl"), "--output-dir", str(again)]
    assert main(["generate", "--model", str(model), *manifest]) == 0
    assert pixels(again) == after, "the pictures of one process alone"
