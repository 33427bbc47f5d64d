"""Frechet distance of two sets of pictures (`estimators.metrics.fid`), from the command line.

    python -m estimators.fid ref DATA -o stats.npz
    python -m estimators.fid calc PICTURES --ref stats.npz

Both take shards, a folder of pictures, or one that `ufc generate` wrote; then its manifest says
which pictures count. Statistics are those that `ref` wrote, or of pytorch-fid (give --extractor
inception --mode legacy) and clean-fid (--extractor inception --mode clean).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from estimators.metrics.extractors.command_line import (
    add_measuring_flags,
    entry_point,
    measuring_from,
)
from estimators.metrics.extractors.features import Features
from estimators.metrics.extractors.measuring import Measuring
from estimators.metrics.fid import (
    Statistics,
    count_warning,
    distance_of,
    save_statistics,
    statistics,
    statistics_for,
)
from estimators.metrics.sets.picture_set import open_set
from ufc_base.entry import write_line


def _ref(args: argparse.Namespace) -> str:
    if not args.output.endswith(".npz") or not Path(args.output).resolve().parent.is_dir():
        raise ValueError(f"-o {args.output}: wanted a name ending in .npz, in a folder that exists")
    measuring = measuring_from(args)
    stats = statistics(measuring.frechet_features(open_set(args.data, reading=measuring.reading)))
    save_statistics(args.output, stats, measuring.recipe)
    return f"{args.output}: statistics of {stats.count} pictures"


def _calc(args: argparse.Namespace) -> str:
    measuring = measuring_from(args)
    pictures = open_set(args.data, reading=measuring.reading)
    found = distance_of(measuring.frechet_features(pictures), _reference(args.ref, measuring))
    report = {
        "fd": found.value,
        "interval_95": found.half_width,
        "pictures": found.count,
        "reference_pictures": found.reference_count or None,
        **measuring.about(pictures),
    }
    counts = filter(None, (found.count, found.reference_count))
    for line in (*pictures.notes, count_warning(min(counts))):
        if line:
            write_line(sys.stderr, str(line))
    return json.dumps(report, indent=1)


def _reference(ref: str, measuring: Measuring) -> Features | Statistics:
    if ref.endswith(".npz"):
        return statistics_for(measuring, ref)
    return measuring.frechet_features(open_set(ref, reading=measuring.reading))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m estimators.fid",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    ref = commands.add_parser("ref", help="write the statistics of a set of pictures")
    ref.add_argument("data", help="a folder of pictures, or shards")
    ref.add_argument("-o", "--output", required=True, help="the .npz to write")
    ref.set_defaults(run=_ref)
    calc = commands.add_parser("calc", help="the distance of a set of pictures from another")
    calc.add_argument("data", help="a folder of pictures, or shards")
    calc.add_argument("--ref", required=True, help="statistics (.npz), a folder, or shards")
    calc.set_defaults(run=_calc)
    for command in (ref, calc):
        add_measuring_flags(command)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run `ref` or `calc`; returns 0, or 2 after one line on standard error for bad input."""
    return entry_point(_parser(), argv)


if __name__ == "__main__":
    sys.exit(main())
