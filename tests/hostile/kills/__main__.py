"""Kill jobs at many moments; see the package."""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from . import __doc__ as about
from . import jobs
from .base import SIGNALS, Job, different, killed_run, whole_run
from .models import Models


def soak(state: Path, moments: int, only: list[str]) -> int:
    """Kill each job by each signal at so many moments, less those in the file `state`.

    Returns the exit code.
    """
    state.parent.mkdir(parents=True, exist_ok=True)
    lines = state.read_text().split("\n")[:-1] if state.is_file() else []
    rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
    if lines:  # without the end of a line that was cut short
        state.write_text("".join(f"{line}\n" for line in lines))
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="killed-") as name, state.open("a") as log:
        place = Path(name)
        os.environ["XDG_CACHE_HOME"] = str(place / "cache")
        for kind, job in jobs(Models(place)).items():
            if (only and kind not in only) or not missing(rows, kind, moments):
                continue
            seconds = whole_run(job, place / f"{kind}-whole")
            want = job.state(place / f"{kind}-whole")
            while signals := missing(rows, kind, moments):
                number = sum(row["job"] == kind for row in rows)
                row = run(kind, job, number, place, seconds, want, signals)
                rows.append(row)
                log.write(json.dumps(row) + "\n")
                log.flush()
                if row["fault"]:
                    print(f"{kind} {number}: {row['fault']}", flush=True)
    print(figures(rows))
    return int(any(row["fault"] for row in rows))


def run(
    kind: str,
    job: Job,
    number: int,
    place: Path,
    seconds: float,
    want: Any,
    signals: Sequence[signal.Signals],
) -> dict[str, Any]:
    """A run that is killed two to four times within `seconds`, and whether it comes to `want`."""
    rng = random.Random(f"{kind}/{number}")
    row = {"job": kind, "run": number, "kills": {}, "fault": ""}
    folder = place / f"{kind}-{number}"
    try:
        row["kills"] = killed_run(job, folder, seconds, rng, rng.choice((2, 3, 4)), signals)
        row["fault"] = different(want, job.state(folder))
    except Exception as error:
        row["kills"] = row["kills"] or {"unknown": 1}
        row["fault"] = f"{type(error).__name__}: {error!s:.600}"
    shutil.rmtree(folder, ignore_errors=True)
    return row


def missing(rows: list[dict[str, Any]], kind: str, moments: int) -> list[signal.Signals]:
    """The signals that a job has met less often than so.

    A run that failed before it said what killed it counts for each, or it would go on for ever.
    """
    own = [row["kills"] for row in rows if row["job"] == kind]
    return [
        one
        for one in SIGNALS
        if sum(kills.get(one.name, 0) + kills.get("unknown", 0) for kills in own) < moments
    ]


def figures(rows: list[dict[str, Any]]) -> str:
    """A table: runs, kills by signal, faults."""
    names = [one.name for one in SIGNALS]
    out = [
        f"| work | runs | kills | {' | '.join(names)} | faults |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind in dict.fromkeys(row["job"] for row in rows):
        own = [row for row in rows if row["job"] == kind]
        counts = [sum(row["kills"].get(name, 0) for row in own) for name in names]
        faults = sum(bool(row["fault"]) for row in own)
        said = " | ".join(map(str, counts))
        out.append(f"| {kind} | {len(own)} | {sum(counts)} | {said} | {faults} |")
    return "\n".join(out)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m hostile.kills", description=about)
    parser.add_argument("state", type=Path)
    parser.add_argument("--moments", type=int, default=20, help="of each signal and job (20)")
    parser.add_argument("--only", action="append", default=[])
    given = parser.parse_args()
    return soak(given.state, given.moments, given.only)


if __name__ == "__main__":
    sys.exit(main())
