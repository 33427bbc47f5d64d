"""What the pinned versions, the floors and the matrix of both say of one another."""

from __future__ import annotations

import sys
import tomllib
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
    names = {one.name for one in version_matrix.core()}
    assert "torch" not in names and {"numpy", "pillow", "pydantic"} <= names
    floors = version_matrix.asked_of_pip("floors")
    assert all("==" in one for one in floors) and len(floors) == len(names)
    assert "pillow==11" in floors
    assert version_matrix.asked_of_pip("newest") == [
        "--upgrade",
        *(f.split("==")[0] for f in floors),
    ]
    for test in version_matrix.TESTS:
        assert (ROOT / test).exists()


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
