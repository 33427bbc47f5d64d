"""What Dockerfile and compose.yaml promise: every package inside, and no rights to anything."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
TARGETS = ("cpu", "cuda")


@pytest.fixture(scope="module")
def stages() -> dict[str, list[str]]:
    """Instructions of each stage of the Dockerfile, a line each, by the stage's name."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        start = re.fullmatch(r"FROM (\S+) AS (\w+)", line)
        if start:
            found[start[2]] = [line]
        elif found and line and not line.startswith("#"):
            found[list(found)[-1]].append(line)
    return found


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text)["services"])


def user_of(stage: list[str]) -> str:
    """The user that a stage ends with."""
    return [line.removeprefix("USER ") for line in stage if line.startswith("USER ")][-1]


def test_every_package_is_inside(stages: dict[str, list[str]]) -> None:
    """Packages that are added go into the image too: its wheel is built from what is copied."""
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    rooms = [
        one.rstrip("*") for one in project["tool"]["setuptools"]["packages"]["find"]["include"]
    ]
    for name in (*rooms, "configs", "weights"):
        assert f"COPY {name} {name}" in stages["wheel"] and f"!{name}" in allowed


def test_what_is_copied_is_there(stages: dict[str, list[str]]) -> None:
    copies = [line.split()[1:-1] for line in stages["wheel"] if line.startswith("COPY ")]
    for name in (name for names in copies for name in names):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_serves_as_a_user_without_rights(
    stages: dict[str, list[str]], target: str
) -> None:
    assert stages[target][0] == f"FROM base AS {target}"
    user = user_of(stages[target])
    assert user.isdecimal() and int(user) > 0, f"USER {user}: a number other than root's"
    assert any(f"--uid {user}" in line for line in stages["base"]), "it has a home"
    assert any(re.search(r"pip install .*\.whl\)\[serve[],]", line) for line in stages[target])
    after = stages[target][stages[target].index(f"USER {user}") :]
    assert not any(line.startswith("RUN") for line in after)


def test_the_cpu_is_the_default_target(stages: dict[str, list[str]]) -> None:
    assert list(stages)[-1] == "cpu"


@pytest.mark.parametrize(("service", "target"), [("ufc", "cpu"), ("ufc-cuda", "cuda")])
def test_a_service_can_write_nothing_that_stays(
    stages: dict[str, list[str]], services: dict[str, Any], service: str, target: str
) -> None:
    found = services[service]
    assert found["build"]["target"] == target and found["build"]["context"] == "."
    assert found["user"] == user_of(stages[target])
    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert set(found["tmpfs"]) == {"/tmp", "/home/ufc"}
    assert not {"volumes", "privileged", "cap_add", "network_mode"} & found.keys()


def test_no_server_starts_without_keys(services: dict[str, Any]) -> None:
    for service in services.values():
        assert service["environment"]["UFC_API_KEYS"].startswith("${UFC_API_KEYS:?")


def test_hadolint_says_nothing() -> None:
    beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    linter = shutil.which("hadolint", path=beside)
    if linter is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([linter, "Dockerfile"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
