"""How much of the parsers hostile inputs reach: branches, by coverage.py.

    PYTHONPATH=.:tests python -m hostile.coverage [--share 0.1] [--only KIND]

Runs the first inputs of every kind in this process and prints a Markdown table, module by module.
Branches that no input can reach are in it too: what only a wrong call comes to, and functions of
these modules that read nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PARSERS = (
    "ufc_base/reading.py",
    "ufc_base/profiles.py",
    "ufc_base/checkpoint.py",
    "ufc_base/formats/archives.py",
    "ufc_base/formats/containers.py",
    "ufc_base/formats/json_text.py",
    "ufc_base/formats/pickled_arrays.py",
    "ufc_base/formats/pickles.py",
    "ufc_base/formats/yaml_text.py",
    "ufc_base/data/names.py",
    "ufc_base/data/records.py",
    "ufc_base/data/samples.py",
    "ufc_base/data/streams.py",
    "ufc_base/data/named.py",
    "vqgan/convert.py",
    "vqgan/training/generated_codes.py",
    "ufc/adapters.py",
    "ufc/request.py",
    "ufc/io/manifest.py",
    "ufc/io/prompts_file.py",
    "ufc/io/validation.py",
    "ufc/io/png/metadata.py",
    "ufc/io/png/picture_row.py",
    "ufc/tasks/families.py",
    "ufc/tasks/grammar.py",
    "ufc/tasks/mixture.py",
    "ufc/training/lexicon/words.py",
    "ufc/evaluation/language/phrasings.py",
    "webui/sessions/presets.py",
    "webui/sessions/store.py",
)


def covered(share: float, only: Sequence[str]) -> tuple[dict[str, Any], int]:
    """What coverage.py says of each parser after so many of the inputs, and how many they were."""
    import coverage

    files = [str(ROOT / name) for name in PARSERS]
    measure = coverage.Coverage(data_file=None, branch=True, include=files, config_file=False)
    measure.start()  # before the parsers are imported
    count = run(share, only)
    measure.stop()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        measure.json_report(outfile=str(report))
        found = json.loads(report.read_bytes())["files"]
    return {Path(name).resolve().relative_to(ROOT).as_posix(): found[name] for name in found}, count


def run(share: float, only: Sequence[str]) -> int:
    """Have the parsers read so many of the inputs of each kind; returns how many."""
    import torch

    from .kinds import KINDS
    from .soak import run_one

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    count = 0
    with tempfile.TemporaryDirectory(prefix="hostile-") as name:
        for kind in only or KINDS:
            for seed in range(max(1, round(KINDS[kind].count * share))):
                run_one(kind, seed, Path(name))
                count += 1
            print(kind, count, file=sys.stderr, flush=True)
    return count


def table(found: dict[str, Any], count: int) -> str:
    """A line for each parser: branches, and how many of them were taken."""
    lines = [f"{count} inputs.", "", "| module | branches | taken |", "|---|---|---|"]
    whole = [0, 0]
    for name in PARSERS:
        told = found[name]["summary"] if name in found else {}
        there, taken = told.get("num_branches", 0), told.get("covered_branches", 0)
        whole = [whole[0] + there, whole[1] + taken]
        lines.append(f"| `{name}` | {there} | {taken / max(1, there):.0%} |")
    lines.append(f"| all | {whole[0]} | {whole[1] / max(1, whole[0]):.0%} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--only", action="append", default=[], metavar="KIND")
    given = parser.parse_args()
    print(table(*covered(given.share, given.only)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
