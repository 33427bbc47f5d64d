"""The tests of generating, serving and adapters at other versions than the pinned ones.

    python scripts/version_matrix.py [--python python3.12 ...] [--only floors|newest]
        [--torch floor|VERSION] [TEST ...]

Each Python (by default those of 3.11 to 3.13 that are found) gets an environment at the floors of
`pyproject.toml` and one at the newest versions, of the core dependencies and of the extras below.
Torch is as installed: it comes from this Python's environment, or from the other one's own; a
Python without it can only have its code compiled and the help shown, which the table says. With
`--torch` pip installs it; on Linux the usual build takes 6 GB, and pip's own settings (such as
PIP_EXTRA_INDEX_URL) choose another.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.metadata import PackageNotFoundError, distribution, distributions
from importlib.metadata import version as version_here
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.11", "3.12", "3.13")
EXTRAS = ("data", "diffusers", "lora", "serve")
OF_OTHER_EXTRAS = ("accelerate",)  # what those need, with the floor of the extra that names it
TOOLS = ("httpx", "hypothesis", "openai", "packaging", "pytest")  # for the tests, at any version
TESTS = (
    "tests/golden",
    "tests/ufc/cli/generating",
    "tests/ufc/cli/test_cli.py",
    "tests/ufc/io",
    "tests/ufc/pipeline/test_adapters.py",
    "tests/ufc/pipeline/test_with_diffusers.py",
    "tests/ufc/sampling",
    "tests/ufc/serving",
    "tests/ufc/test_pipeline.py",
    "tests/ufc_base/test_images.py",
)
CODE = ("ufc_base", "vqgan", "estimators", "ufc", "webui", "scripts", "benchmarks", "tests")
HAS_TORCH = "import torch"
LISTING = """
import importlib.metadata as m
there = {{one.name.lower().replace("_", "-"): one.version for one in m.distributions()}}
names = [name.lower().replace("_", "-") for name in {names}]
print("versions:", *(f"{{name}} {{there[name]}}" for name in names if name in there))
"""
COMPILE = f"""
import pathlib
for folder in {CODE}:
    for path in pathlib.Path(folder).rglob("*.py"):
        compile(path.read_bytes(), path, "exec")
"""


def floors(python: str, extras: bool = True) -> dict[str, Version]:
    """What is tested on a Python such as `3.12`, without torch, and its least versions."""
    asked = asked_by_the_project()
    texts = asked["dependencies"]
    if extras:
        others = [text for extra in asked["optional-dependencies"].values() for text in extra]
        texts = [
            *texts,
            *(text for name in EXTRAS for text in asked["optional-dependencies"][name]),
            *(text for text in others if Requirement(text).name in OF_OTHER_EXTRAS),
        ]
    found: dict[str, Version] = {}
    for one in map(Requirement, texts):
        if one.marker is None or one.marker.evaluate({"python_version": python}):
            floor = floor_of(one)
            found[one.name] = max(floor, found.get(one.name, floor))
    return {name: floor for name, floor in found.items() if name != "torch"}


def asked_by_the_project() -> dict[str, Any]:
    """The table `project` of pyproject.toml."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return dict(tomllib.loads(text)["project"])


def floor_of(requirement: Requirement) -> Version:
    return Version(next(one.version for one in requirement.specifier))


def torch_of(asked: str) -> str:
    """A version of torch, or the floor of pyproject.toml by the word `floor`."""
    if asked != "floor":
        return asked
    named = map(Requirement, asked_by_the_project()["dependencies"])
    return str(next(floor_of(one) for one in named if one.name == "torch"))


def asked_of_pip(versions: str, python: str, extras: bool = True) -> list[str]:
    """Arguments of pip for the floors, or for the newest versions."""
    least = floors(python, extras)
    if versions == "newest":
        return ["--upgrade", *least]
    return [f"{name}=={version}" for name, version in least.items()]


def version_of(python: str) -> str:
    """Such as `3.12`."""
    asked = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([python, "-c", asked], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def found_pythons() -> list[str]:
    """Pythons of the range that run here; this one first."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    found = [sys.executable]
    for version in PYTHONS:
        places = [shutil.which(f"python{version}"), *sorted(kept.glob(f"{version}.*/bin/python"))]
        works = (str(place) for place in places if place and runs(place, "pass"))
        found += [python for python in [next(works, None)] if python and version != own]
    return found


def runs(python: str | Path, program: str) -> bool:
    """Whether a Python is there and a line of it does not fail."""
    with tempfile.TemporaryDirectory() as away:
        try:
            done = subprocess.run([str(python), "-c", program], capture_output=True, cwd=away)
        except OSError:
            return False
    return done.returncode == 0


def make_environment(python: str, versions: str, torch: str | None, folder: Path) -> Path:
    """An environment with these versions; torch is that of pip, or the one that is installed.

    Without torch it has the core dependencies alone: extras would bring the newest one.
    """
    own = python == sys.executable
    linked = own and torch is None
    system = [] if own or torch else ["--system-site-packages"]
    subprocess.run([python, "-m", "venv", *system, str(folder)], check=True)
    inside = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = [str(inside), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    with_torch = linked or torch is not None or runs(inside, HAS_TORCH)
    asked = asked_of_pip(versions, version_of(python), extras=with_torch)
    if torch:
        asked.append(f"torch=={torch}")
    (site,) = folder.glob("[Ll]ib/**/site-packages")
    with told_of("torch", site) if linked else nullcontext():
        subprocess.run([*pip, *asked], check=True)
    if own:
        share((*TOOLS, "torch") if linked else TOOLS, site)
    elif with_torch:
        subprocess.run([*pip, *TOOLS], check=True)
    return inside


@contextmanager
def told_of(name: str, site: Path) -> Iterator[None]:
    """Let pip take a package of this environment for installed in another, until it is linked.

    Linked before, pip might remove what others need too, through the link.
    """
    stub = site / f"{name}-{version_here(name)}.dist-info"
    stub.mkdir()
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version_here(name)}\n"
    (stub / "METADATA").write_text(text, encoding="utf-8")
    try:
        yield
    finally:
        shutil.rmtree(stub)


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


def try_one(python: str, versions: str, torch: str | None, tests: list[str]) -> str:
    """What came of one environment, in words: it begins with `failed` where something did."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            inside = make_environment(python, versions, torch, Path(folder, "venv"))
        except subprocess.CalledProcessError as error:
            return f"failed: {' '.join(error.cmd[-4:])} ({error.returncode})"
        own = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONHOME")}
        own |= {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}

        def run(*arguments: str, quiet: bool = False) -> bool:
            out = subprocess.DEVNULL if quiet else None
            done = subprocess.run([str(inside), *arguments], cwd=ROOT, env=own, stdout=out)
            return done.returncode == 0

        run("-c", LISTING.format(names=[*floors("3.11"), "torch"]))
        if not runs(inside, HAS_TORCH):
            compiled = run("-W", "error", "-c", COMPILE)
            shown: tuple[list[str], ...] = ([], ["generate"], ["edit"])
            helps = all(run("-m", "ufc", *one, "--help", quiet=True) for one in shown)
            said = "passed" if compiled and helps else "failed"
            return f"{said}: compiled and helped; it has no torch to generate with"
        passed = run("-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
        return "passed" if passed else "failed: see above"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("tests", nargs="*", default=list(TESTS))
    parser.add_argument("--python", action="append", help="a Python (all of 3.11 to 3.13 here)")
    parser.add_argument("--only", choices=("floors", "newest"))
    parser.add_argument("--torch", type=torch_of, help="the version that pip installs, or `floor`")
    flags = parser.parse_args()
    rows = []
    for python in flags.python or found_pythons():
        for versions in (flags.only,) if flags.only else ("floors", "newest"):
            print(f"versions: {python} at the {versions}", flush=True)
            rows.append((python, versions, try_one(python, versions, flags.torch, flags.tests)))
    for python, versions, said in rows:
        print(f"versions: {python} {versions}: {said}")
    return int(any(said.startswith("failed") for _, _, said in rows))


if __name__ == "__main__":
    sys.exit(main())
