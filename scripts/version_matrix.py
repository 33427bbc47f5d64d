"""The generation tests at other versions than the pinned ones, and on other Pythons.

    python scripts/version_matrix.py [--python python3.12 ...] [--only floors|newest] [TEST ...]

Each Python (by default those of 3.11 to 3.13 that are found) gets an environment at the floors of
`pyproject.toml` and one at the newest versions of what generating needs. Torch is as installed: it
comes from this Python's environment, or from the other one's own; a Python without it can only have
its code compiled and the help shown, which the table says.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from importlib.metadata import PackageNotFoundError, distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.11", "3.12", "3.13")
TESTS = (
    "tests/golden",
    "tests/ufc/cli/generating",
    "tests/ufc/cli/test_cli.py",
    "tests/ufc/io",
    "tests/ufc/sampling",
    "tests/ufc/test_pipeline.py",
    "tests/ufc_base/test_images.py",
)
CODE = ("ufc_base", "vqgan", "estimators", "ufc", "webui", "scripts", "benchmarks", "tests")
HAS_TORCH = "import torch"
COMPILE = f"""
import pathlib
for folder in {CODE}:
    for path in pathlib.Path(folder).rglob("*.py"):
        compile(path.read_bytes(), path, "exec")
"""


def core() -> list[Requirement]:
    """What generating needs, without torch."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = map(Requirement, project["dependencies"])
    return [one for one in wanted if one.name != "torch"]


def asked_of_pip(versions: str) -> list[str]:
    """Arguments of pip for the floors, or for the newest versions."""
    if versions == "newest":
        return ["--upgrade", *(one.name for one in core())]
    return [f"{one.name}=={next(s.version for s in one.specifier)}" for one in core()]


def found_pythons() -> list[str]:
    """Pythons of the range that run here; this one first."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    others = [shutil.which(f"python{version}") for version in PYTHONS if version != own]
    return [sys.executable, *(python for python in others if python and runs(python, "pass"))]


def runs(python: str | Path, program: str) -> bool:
    """Whether a Python is there and a line of it does not fail."""
    with tempfile.TemporaryDirectory() as away:
        try:
            done = subprocess.run([str(python), "-c", program], capture_output=True, cwd=away)
        except OSError:
            return False
    return done.returncode == 0


def make_environment(python: str, versions: str, folder: Path) -> Path:
    """An environment with these versions, and this one's torch and pytest if it has one Python."""
    shared = [] if python == sys.executable else ["--system-site-packages"]
    subprocess.run([python, "-m", "venv", *shared, str(folder)], check=True)
    inside = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = [str(inside), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *asked_of_pip(versions)], check=True)
    if python == sys.executable:
        (site,) = folder.glob("[Ll]ib/**/site-packages")
        share(("torch", "pytest"), site)
    elif runs(inside, HAS_TORCH):
        subprocess.run([*pip, "pytest", "packaging"], check=True)
    return inside


def share(names: tuple[str, ...], site: Path) -> None:
    """Link packages of this environment, and what they need, into another's; its own go before.

    Nothing else of this environment is seen there: extras of newer versions would not fit floors.
    """
    seen = {canonicalize_name(one.name) for one in distributions(path=[str(site)])}
    todo = list(names)
    while todo:
        name = canonicalize_name(todo.pop())
        if name in seen:
            continue
        seen.add(name)
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        wanted = map(Requirement, found.requires or ())
        todo += [w.name for w in wanted if w.marker is None or w.marker.evaluate({"extra": ""})]
        for top in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            own, link = Path(str(found.locate_file(top))), site / top
            if own.exists() and not link.exists():
                link.symlink_to(own)


def try_one(python: str, versions: str, tests: list[str]) -> str:
    """What came of one environment, in words: it begins with `failed` where something did."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            inside = make_environment(python, versions, Path(folder, "venv"))
        except subprocess.CalledProcessError as error:
            return f"failed: {' '.join(error.cmd[-4:])} ({error.returncode})"
        own = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONHOME")}
        own |= {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}

        def run(*arguments: str) -> bool:
            done = subprocess.run([str(inside), *arguments], cwd=ROOT, env=own, check=False)
            return done.returncode == 0

        listing = "import importlib.metadata as m; print(*(f'{n} {m.version(n)}' for n in %r))"
        run("-c", listing % ([one.name for one in core()],))
        if not runs(inside, HAS_TORCH):
            compiled = run("-W", "error", "-c", COMPILE)
            helps = all(run("-m", "ufc", *one, "--help") for one in ([], ["generate"], ["edit"]))
            said = "passed" if compiled and helps else "failed"
            return f"{said}: compiled and helped; it has no torch to generate with"
        passed = run("-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
        return "passed" if passed else "failed: see above"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("tests", nargs="*", default=list(TESTS))
    parser.add_argument("--python", action="append", help="a Python (all of 3.11 to 3.13 here)")
    parser.add_argument("--only", choices=("floors", "newest"))
    flags = parser.parse_args()
    rows = []
    for python in flags.python or found_pythons():
        for versions in (flags.only,) if flags.only else ("floors", "newest"):
            print(f"versions: {python} at the {versions}", flush=True)
            rows.append((python, versions, try_one(python, versions, flags.tests)))
    for python, versions, said in rows:
        print(f"versions: {python} {versions}: {said}")
    return int(any(said.startswith("failed") for _, _, said in rows))


if __name__ == "__main__":
    sys.exit(main())
