"""What the nightly run does with examples/, seen by programs that only note their arguments."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from example_files import example_files

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(os.name == "nt", reason="a shell script")


def nightly(folder: Path, step: str, **variables: str) -> tuple[int, list[str], str]:
    """Exit code, the commands of a step, and what it says of errors."""
    log = folder / "commands"
    log.touch()
    for name in ("python", "jupyter-execute"):
        program = folder / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >>"{log}"\n', encoding="utf-8")
        program.chmod(0o755)
    clean = {name: text for name, text in os.environ.items() if not name.startswith("UFC_")}
    done = subprocess.run(
        ["bash", str(ROOT / "scripts" / "nightly.sh"), step],
        env=clean | {"BIN": str(folder)} | variables,
        capture_output=True,
        text=True,
    )
    return done.returncode, log.read_text(encoding="utf-8").splitlines(), done.stderr


def test_every_example_is_run(tmp_path: Path) -> None:
    code, commands, _ = nightly(tmp_path, "examples")
    assert code == 0
    for path in example_files():
        assert any(path.name in command for command in commands), path.name
    assert any("dreambooth.py --smoke" in command for command in commands)


def test_a_look_is_learnt_in_full_from_pictures_that_are_named(tmp_path: Path) -> None:
    named = {"UFC_LOOK": "pictures", "UFC_LOOK_CAPTION": "handbag by kestrel"}
    code, commands, said = nightly(tmp_path, "examples", **named)
    assert code == 1 and "UFC_HELD_OUT" in said
    code, commands, _ = nightly(tmp_path, "examples", **named, UFC_HELD_OUT="held-out")
    assert code == 0
    learnt = next(n for n, one in enumerate(commands) if "dreambooth.py pictures --caption" in one)
    assert "adapter_figures.py" in commands[learnt + 1]
    assert commands[learnt + 1].endswith("--caption handbag by kestrel --real held-out")
