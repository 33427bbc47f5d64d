"""What source distribution and wheel contain, and how the program is found and installed."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from test_layout import EXTRAS

from ufc.cli.recipes import find_recipe, recipe_names
from ufc_base.extras import EXTRA_OF

ROOT = Path(__file__).parent.parent
PACKAGES = ("vqgan", "estimators", "ufc", "webui")
TEXTS = (".py", ".md", ".sh", ".toml", ".yaml", ".json", ".ipynb")


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """The paths that a source distribution has."""
    pytest.importorskip("setuptools", minversion="77")
    info = tmp_path_factory.mktemp("info")
    arguments = ["setup.py", "-q", "egg_info", "--egg-base", str(info)]
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True)
    return set((info / "ufc_bert.egg-info" / "SOURCES.txt").read_text().splitlines())


def files_below(*folders: str) -> set[str]:
    found = (path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file())
    return {
        path.relative_to(ROOT).as_posix() for path in found if path.suffix not in (".pyc", ".pyo")
    }


def test_the_source_distribution_has_what_its_tests_need(sources):
    assert files_below("tests", "scripts", "configs", "weights", ".ci", *PACKAGES) <= sources
    assert {"Makefile", "requirements.txt", "README.md", "CONTRIBUTING.md", "setup.py"} <= sources
    assert {"benchmarks/table.py", "docs/performance.md"} <= sources
    assert {f"examples/{path.name}" for path in (ROOT / "examples").glob("*.*")} <= sources
    assert not [path for path in sources if "__pycache__" in path]


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_say_that_they_are_typed(package):
    assert (ROOT / package / "py.typed").is_file()
    assert "py.typed" in project()["tool"]["setuptools"]["package-data"][package]


def test_files_beside_the_code_go_into_the_wheel():
    """Each file of a package that is no module matches a pattern of its package data."""
    patterns = project()["tool"]["setuptools"]["package-data"]
    for path in files_below(*PACKAGES):
        package, _, inside = path.partition("/")
        if not path.endswith(".py"):
            assert any(Path(inside).match(pattern) for pattern in patterns[package]), path


def test_a_wheel_has_recipes_and_weights(tmp_path, monkeypatch):
    setuptools = pytest.importorskip("setuptools", minversion="77")
    import runpy

    made = {}
    monkeypatch.setattr(setuptools, "setup", lambda **settings: made.update(settings))
    runpy.run_path(str(ROOT / "setup.py"))
    build = made["cmdclass"]["build_py"](setuptools.Distribution())
    build.packages, build.py_modules, build.package_data = [], [], {}
    build.build_lib, build.editable_mode = str(tmp_path), False
    build.run()
    recipes = {path.name for path in (tmp_path / "ufc" / "configs").iterdir()}
    assert recipes == {path.name for path in (ROOT / "configs").iterdir()}
    assert (tmp_path / "ufc" / "weights" / "manifest.json").is_file()


def test_recipes_are_found_by_name_in_a_clone_and_in_an_installed_package(tmp_path, monkeypatch):
    import ufc.cli.recipes as module

    assert "fashion-64" in recipe_names() and "fashion-64-tokenizer" in recipe_names()
    assert find_recipe("fashion-64") == ROOT / "configs" / "fashion-64.yaml"
    installed = tmp_path / "ufc"
    (installed / "configs").mkdir(parents=True)
    (installed / "configs" / "mine.yaml").write_text("seed: 1\n")
    monkeypatch.setattr(module, "__file__", str(installed / "commands" / "recipes.py"))
    assert recipe_names() == ["mine"]
    assert find_recipe("mine") == installed / "configs" / "mine.yaml"


def test_a_file_goes_before_a_recipe_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("fashion-64").write_text("seed: 1\n")
    assert find_recipe("fashion-64") == Path("fashion-64")


def test_python_m_ufc():
    run = [sys.executable, "-m", "ufc", "--version"]
    said = subprocess.run(run, capture_output=True, text=True, check=True, cwd=ROOT)
    assert said.stdout.startswith("ufc ")


def test_nobody_is_told_to_install_this_project_from_an_index():
    """Its name is not registered there, so somebody else could take it."""
    texts = [path for path in ROOT.iterdir() if path.suffix in TEXTS or path.name == "Makefile"]
    for folder in (*PACKAGES, "scripts", "docs", "benchmarks", "examples", "configs", "weights"):
        texts += [path for path in (ROOT / folder).rglob("*") if path.suffix in TEXTS]
    for path in texts:
        found = re.findall(r"pip install[^\n]*ufc[-_]bert", path.read_text(encoding="utf-8"))
        assert not found, f"{path}: {found}"


def test_every_extra_is_known_by_the_modules_that_it_brings():
    assert set(EXTRA_OF) == set(EXTRAS)
    assert set(EXTRA_OF.values()) <= set(project()["project"]["optional-dependencies"])


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


CPUINFO = """\
processor\t: 0
model name\t: A Processor 9000
flags\t\t: fpu avx2 avx512f avx512_vnni
processor\t: 1
model name\t: A Processor 9000
"""


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
def test_continuous_integration_says_which_processor_it_saw(tmp_path):
    (tmp_path / "cpuinfo").write_text(CPUINFO)
    run = ["bash", str(ROOT / ".ci" / "processor"), str(tmp_path / "cpuinfo")]
    said = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert said == (
        "processor: A Processor 9000\n"
        "features: AVX2 yes, AVX512 yes, AVX512-BF16 no, VNNI yes, AMX no\n"
    )


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
def test_the_nightly_run_stops_at_the_first_failure_and_names_it():
    script = ["bash", str(ROOT / "scripts" / "nightly.sh")]
    unknown = subprocess.run([*script, "tea"], capture_output=True, text=True)
    assert unknown.returncode == 2 and "no step tea" in unknown.stderr
    environment = os.environ | {"BIN": "/nowhere"}
    failed = subprocess.run(
        [*script, "readme", "tests"], capture_output=True, text=True, env=environment
    )
    assert failed.returncode != 0 and "nightly: readme failed" in failed.stderr
    assert "nightly: tests" not in failed.stdout


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
def test_without_npm_the_nightly_run_fails_unless_it_is_told_to_go_without(tmp_path):
    for tool in ("bash", "dirname", "mktemp", "rm"):  # and nothing else, so no npm
        (tmp_path / tool).symlink_to(shutil.which(tool))
    python = tmp_path / "python"
    python.write_text(f"#!{shutil.which('true')}\n")
    python.chmod(0o755)
    script = [shutil.which("bash"), str(ROOT / "scripts" / "nightly.sh"), "browser"]
    environment = {"PATH": str(tmp_path), "BIN": str(tmp_path)}
    failed = subprocess.run(script, capture_output=True, text=True, env=environment)
    assert failed.returncode == 1 and "UFC_NO_AXE=1" in failed.stderr
    told = environment | {"UFC_NO_AXE": "1"}
    assert subprocess.run(script, capture_output=True, env=told).returncode == 0
