"""What the pinned versions, the floors and the matrix of both say of one another."""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest
import version_matrix
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent


def pins() -> dict[str, Version]:
    """The versions of requirements.txt."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {
        canonicalize_name(one.name): Version(next(s.version for s in one.specifier))
        for one in wanted
    }


def test_pins_are_within_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    # Those are each for whoever asks for it, and not in requirements.txt.
    left_out = {"transformers", "jinja2", "ufc-bert"}
    asked = [*project["dependencies"], *(text for extra in extras.values() for text in extra)]
    known = pins()
    for one in map(Requirement, asked):
        name = canonicalize_name(one.name)
        if name not in left_out:
            assert name in known, f"requirements.txt has no version of {name}"
            assert known[name] in one.specifier, f"{name} {known[name]} is not {one.specifier}"


def test_every_dependency_has_a_floor() -> None:
    floors = version_matrix.asked_of_pip("floors", "3.11")
    assert {"numpy==1.26", "pillow==11"} <= set(floors)
    assert not any(floor.startswith("torch") for floor in floors)
    assert "numpy==2.1" in version_matrix.asked_of_pip("floors", "3.13")
    assert version_matrix.version_of(sys.executable).startswith("3.")
    assert version_matrix.asked_of_pip("newest", "3.11") == [
        "--upgrade",
        *(f.split("==")[0] for f in floors),
    ]
    for test in version_matrix.TESTS:
        assert (ROOT / test).exists()


def test_extras_have_floors_too() -> None:
    found = version_matrix.floors("3.11")
    assert {"accelerate", "datasets", "diffusers", "fastapi", "peft"} <= found.keys()
    alone = version_matrix.floors("3.11", extras=False)
    assert alone.items() < found.items() and "fastapi" not in alone
    known = pins()
    assert all(floor <= known[canonicalize_name(name)] for name, floor in found.items())


def test_torch_is_asked_for_by_a_version_or_as_the_floor() -> None:
    assert version_matrix.torch_of("2.9.1") == "2.9.1"
    assert Version(version_matrix.torch_of("floor")) < pins()["torch"]


@pytest.mark.parametrize("torch", [None, "2.6"])
def test_pip_brings_torch_only_where_it_is_asked_for(
    torch: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    site.mkdir(parents=True)
    there: list[str] = []  # what pip would find in the environment

    def run(command: list[str], **_: object) -> None:
        if "install" in command:
            asked.extend(command)
            there.extend(one.name for one in distributions(path=[str(site)]))

    asked: list[str] = []
    monkeypatch.setattr(version_matrix.subprocess, "run", run)
    monkeypatch.setattr(version_matrix, "version_of", lambda _: "3.11")
    version_matrix.make_environment(sys.executable, "floors", torch, tmp_path)
    assert ("torch==2.6" in asked) == (torch is not None)
    assert there == ([] if torch else ["torch"]), "pip takes it for installed, and lets it be"
    assert (site / "pytest").is_symlink()
    assert (site / "torch").is_symlink() == (torch is None)
    assert "peft==0.17" in asked


def test_an_environment_gets_what_it_lacks_and_keeps_its_own(tmp_path: Path) -> None:
    (tmp_path / "packaging-1.0.dist-info").mkdir()
    (tmp_path / "packaging-1.0.dist-info" / "METADATA").write_text(
        "Name: packaging\nVersion: 1.0\n"
    )
    version_matrix.share(("pytest",), tmp_path)
    links = {path.name for path in tmp_path.iterdir() if path.is_symlink()}
    assert {"pytest", "pluggy"} <= links and "packaging" not in links and "torch" not in links


def test_the_matrix_tells_what_came_of_each(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = iter(["passed", "failed: see above", "passed", "passed"])
    monkeypatch.setattr(version_matrix, "try_one", lambda *_: next(said))
    monkeypatch.setattr(sys, "argv", ["x", "--python", "python3.11"])
    assert version_matrix.main() == 1
    assert "python3.11 newest: failed" in capsys.readouterr().out
    assert version_matrix.main() == 0
    assert version_matrix.found_pythons()[0] == sys.executable


def test_a_python_that_is_not_there_fails(tmp_path: Path) -> None:
    assert not version_matrix.runs(tmp_path / "python", "pass")
