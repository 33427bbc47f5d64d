"""Coverage-guided hostile inputs: atheris changes files so that they reach new branches of parsers.

    PYTHONPATH=.:tests python -m hostile.fuzz outputs/fuzz [--seconds 60] [--only KIND]

`pip install atheris` first (Linux; its wheels are not there for every Python). Each kind of
`hostile.kinds` begins with inputs that it makes itself: one file of each is what is changed, its
largest, and what else lies beside it stays. What was found to reach something new is kept in the
folder, so that the next run goes on from there; an input that is a fault is written there as
`fault-…`, and ends the kind. Exit code 1 where there was a fault.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

BEGINNINGS = 60  # inputs of a kind that its fuzzing begins with
PROJECT = ["ufc", "ufc_base", "vqgan", "estimators"]
HANGS = 30  # seconds; what counts as a fault is less, see `guard`


def largest(folder: Path) -> Path:
    """The name, within an input, of the file that is changed."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return max(files, key=lambda path: path.stat().st_size).relative_to(folder)


def beginnings(kind: str, folder: Path) -> dict[Path, Path]:
    """Inputs of a kind: for each name of the file that is changed, a folder with all else."""
    from .kinds import make

    (folder / "corpus").mkdir(parents=True, exist_ok=True)
    around: dict[Path, Path] = {}
    for seed in range(BEGINNINGS):
        made = folder / "made" / str(seed)
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(parents=True)
        make(kind, seed, made)
        around.setdefault(largest(made), made)
    names = list(around)
    for seed in range(BEGINNINGS):
        made = folder / "made" / str(seed)
        name = largest(made)
        data = bytes([names.index(name)]) + (made / name).read_bytes()
        (folder / "corpus" / f"made-{seed}").write_bytes(data)
    return around


def fuzz(kind: str, folder: Path, seconds: int) -> None:
    """Fuzz one kind until the time is up; this process ends with it."""
    import atheris

    with atheris.instrument_imports(include=PROJECT):
        from .guard import judged
        from .kinds import KINDS
    import torch

    torch.set_num_threads(1)
    around = list(beginnings(kind, folder).items())
    place = folder / "input"

    def one(data: bytes) -> None:
        name, made = around[data[0] % len(around)] if data else around[0]
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(made, place)
        (place / name).write_bytes(data[1:])
        for reader, read in KINDS[kind].read.items():
            found = judged(read, place)
            if found.fault:
                raise RuntimeError(f"{kind}, {reader}: {found.fault}")

    arguments = [
        f"-max_total_time={seconds}", f"-timeout={HANGS}", "-rss_limit_mb=0", "-max_len=200000",
        "-print_final_stats=1", f"-artifact_prefix={folder}/fault-", str(folder / "corpus"),
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *arguments], one)
    atheris.Fuzz()


def run(kind: str, folder: Path, seconds: int) -> dict[str, Any]:
    """Fuzz a kind in a process of its own; inputs, inputs that reached something new, the fault."""
    command = [sys.executable, "-m", "hostile.fuzz", str(folder), "--kind", kind]
    command += ["--seconds", str(seconds)]
    ended = subprocess.run(command, capture_output=True, text=True, errors="replace")
    said = ended.stdout + ended.stderr

    def stat(pattern: str) -> int:
        return int((re.findall(pattern, said) or ["0"])[-1])

    fault = (re.findall(r"RuntimeError: (.*)", said) or re.findall(r"ERROR: (.*)", said) or [""])[0]
    if ended.returncode and not fault:
        fault = said.strip().split("\n")[-1]
    return {
        "kind": kind,
        "inputs": stat(r"stat::number_of_executed_units: (\d+)"),
        "branches": stat(r"cov: (\d+)"),
        "fault": fault,
    }


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=int, default=60, help="for each kind")
    parser.add_argument("--only", nargs="+", metavar="KIND", default=[])
    parser.add_argument("--kind", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.kind:
        fuzz(options.kind, options.folder, options.seconds)
        return 0
    if importlib.util.find_spec("atheris") is None:
        parser.error("atheris is not installed: pip install atheris")
    from .kinds import KINDS

    unknown = set(options.only) - set(KINDS)
    if unknown:
        parser.error(f"there is no kind {', '.join(unknown)}; choose from {', '.join(KINDS)}")
    faults = 0
    print("| kind | inputs | branches reached | fault |\n|---|---|---|---|")
    for kind in options.only or KINDS:
        found = run(kind, (options.folder / kind.replace(" ", "-")).absolute(), options.seconds)
        faults += bool(found["fault"])
        print(
            f"| {kind} | {found['inputs']} | {found['branches']} | {found['fault']} |", flush=True
        )
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
