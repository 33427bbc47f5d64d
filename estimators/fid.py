"""Frechet distance of two sets of pictures (`estimators.metrics.fid`), from the command line.

    python -m estimators.fid ref DATA -o stats.npz
    python -m estimators.fid calc PICTURES --ref stats.npz

Both take shards, a folder of pictures, or one that `ufc generate` wrote; then its manifest says
which pictures count. Statistics are those that `ref` wrote, or of pytorch-fid and torch-fidelity
(give --extractor inception --mode legacy) and clean-fid (--extractor inception --mode clean).
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Annotated

from estimators.metrics.extractors.command_line import MeasuringFlags, measuring_from
from estimators.metrics.extractors.features import Features
from estimators.metrics.extractors.measuring import Measuring
from estimators.metrics.fid import (
    Statistics,
    check_output,
    count_warning,
    distance_of,
    is_statistics,
    save_statistics,
    statistics,
    statistics_for,
)
from estimators.metrics.sets.picture_set import open_set
from ufc_base.entry import write_line
from ufc_base.program import argument, option, program


@dataclass(kw_only=True)
class RefFlags(MeasuringFlags):
    data: Annotated[str, argument("A folder of pictures, or shards.")]
    output: Annotated[str, option("The .npz (or .pt) to write.", None, "--output", "-o")]


@dataclass(kw_only=True)
class CalcFlags(MeasuringFlags):
    data: Annotated[str, argument("A folder of pictures, or shards.")]
    ref: Annotated[str, option("Statistics (.npz, .pt), a folder, or shards.")]


def _ref(args: RefFlags) -> str:
    check_output(args.output, "-o")
    measuring = measuring_from(args)
    stats = statistics(measuring.frechet_features(open_set(args.data, reading=measuring.reading)))
    save_statistics(args.output, stats, measuring.recipe)
    return f"{args.output}: statistics of {stats.count} pictures"


def _calc(args: CalcFlags) -> str:
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
    if is_statistics(ref):
        return statistics_for(measuring, ref)
    return measuring.frechet_features(open_set(ref, reading=measuring.reading))


main = program(
    "python -m estimators.fid",
    __doc__,
    {
        "ref": (RefFlags, _ref, "Write the statistics of a set of pictures."),
        "calc": (CalcFlags, _calc, "The distance of a set of pictures from another."),
    },
)

if __name__ == "__main__":
    sys.exit(main())
