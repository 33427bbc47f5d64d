"""The order of the rooms, and that importing does nothing but define things."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Each imports only from those before it.
ROOMS = ("ufc_base", "vqgan", "estimators", "ufc", "webui")
MODULES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
# What generating must do without: the extras of pyproject.toml, by the names they are imported by.
EXTRAS = (
    "accelerate",
    "cn_clip",
    "datasets",
    "diffusers",
    "fastapi",
    "kornia",
    "lpips",
    "matplotlib",
    "open_clip",
    "peft",
    "prometheus_client",
    "pyarrow",
    "python_multipart",
    "scipy",
    "streamlit",
    "taming",
    "tensorboard",
    "torch_fidelity",
    "torchmetrics",
    "torchvision",
    "transformers",
    "uvicorn",
    "webdataset",
    "xformers",
)

# Its classes are those of an extra's, which is imported with it; nothing imports it unasked.
OF_AN_EXTRA = "estimators.metrics.torchmetrics"

# Runs in a fresh interpreter: imports the modules named on the command line and prints, one a
# line, whatever was written, made, moved or removed meanwhile.
WATCH_IMPORTS = """
import importlib, os, sys

touched = []
CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.link", "os.symlink")

def watch(event, arguments):
    if event == "open":
        path, mode, flags = arguments
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if writes and path != os.devnull:
            touched.append(f"open {path}")
    elif event in CHANGES:
        touched.append(f"{event} {arguments}")

import torch, numpy, PIL.Image  # what they do at import is theirs
sys.addaudithook(watch)
for name in sys.argv[1:]:
    before = len(touched)
    importlib.import_module(name)
    touched[before:] = [f"{name}: {what}" for what in touched[before:]]
print("\\n".join(touched), end="")
"""

BLOCK_EXTRAS = f"""
import importlib.abc, sys

class NotInstalled(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRAS!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}} (an extra)", name=name)
        return None

sys.meta_path.insert(0, NotInstalled())
"""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_names(path: Path) -> set[str]:
    """Absolute names of everything a file imports, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names.add(node.module)
    return names


def run_python(program: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-B", "-c", program, *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "HOME": str(folder), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_rooms_import_only_from_those_before_them(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    later = ROOMS[ROOMS.index(room) + 1 :]
    wrong = sorted(name for name in imported_names(path) if name.partition(".")[0] in later)
    assert not wrong, f"{module_name(path)} imports {wrong}; the order is {' → '.join(ROOMS)}"


def test_importing_prints_nothing_and_touches_no_file(tmp_path: Path) -> None:
    names = [name for name in map(module_name, MODULES) if not name.startswith(OF_AN_EXTRA)]
    result = run_python(WATCH_IMPORTS, *names, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    assert result.stderr == ""
    assert not list(tmp_path.iterdir())


def test_drawing_needs_no_extras(tmp_path: Path) -> None:
    wanted = ("vqgan.model", "ufc.pipeline", "ufc.cli.main", "ufc.showcase")
    names = [name for name in map(module_name, MODULES) if name in wanted]
    found = "\nfrom estimators.registry import find_estimators\nfind_estimators(('compliance',))\n"
    result = run_python(BLOCK_EXTRAS + WATCH_IMPORTS + found, *names, folder=tmp_path)
    assert result.returncode == 0, result.stderr


def test_nothing_imports_what_is_made_of_an_extra() -> None:
    others = [path for path in MODULES if not module_name(path).startswith(OF_AN_EXTRA)]
    found = {name for path in others for name in imported_names(path)}
    assert not [name for name in found if name.startswith(OF_AN_EXTRA)]


def test_no_folder_has_more_than_a_dozen_modules_of_its_own():
    for package in ROOMS:
        for folder in (ROOT / package, *(ROOT / package).rglob("*")):
            if folder.is_dir():
                modules = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
                assert len(modules) <= 12, f"{folder}: {len(modules)} modules, make a room of some"


def rows_of_the_map() -> dict[str, str]:
    """What docs/architecture.md has in code type, room by room: a string of it all for each."""
    rows: dict[str, str] = {}
    room = ""
    for line in (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").splitlines():
        if not line.startswith("|"):
            room = ""
        elif heading := re.match(r"\| \*\*`?([\w ]+)/?`?\*\*", line):
            room = heading[1]
        elif room in ROOMS:
            rows[room] = rows.get(room, "") + " " + " ".join(re.findall(r"`([^`]+)`", line))
    return rows


def test_every_module_is_on_the_map() -> None:
    """By its name or by its folder's, in the rows of its room in docs/architecture.md."""
    rows = rows_of_the_map()
    assert set(rows) == set(ROOMS)
    for path in MODULES:
        room, *folders = path.relative_to(ROOT).parent.parts
        named = set(re.findall(r"\w+", rows[room]))
        whole = set(re.findall(r"(\w+)/(?= |$)", rows[room]))  # folders named without a file
        there = path.stem in named or path.stem == "__init__" or whole & set(folders)
        assert there, f"{path.relative_to(ROOT)} has no row in docs/architecture.md"
