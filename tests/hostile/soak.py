"""Run hostile inputs of every kind; what was done is kept, so a run that was stopped goes on.

    PYTHONPATH=.:tests python -m hostile.soak outputs/soak/hostile.jsonl [--share 0.1] [--only KIND]
    PYTHONPATH=.:tests python -m hostile.soak one KIND SEED       what one input comes to

Inputs are read in a process of their own; one that hangs or dies costs the input at hand, which is
a fault, and the next goes on behind it. Exit code 1 where there was a fault.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Job = tuple[str, int, int]  # a kind, its first number, and the one behind its last
PARTS = 20
HANGS = 300.0  # seconds for an input with all of its parsers, before it is given up


def run_one(kind: str, seed: int, place: Path) -> dict[str, Any]:
    """Make an input and have all its parsers read it."""
    from .guard import judged
    from .kinds import KINDS, is_past, make

    folder = place / f"{kind.replace(' ', '-')}-{seed}"
    folder.mkdir()
    try:
        make(kind, seed, folder)
        past = is_past(kind, folder)
        found = {name: judged(read, folder) for name, read in KINDS[kind].read.items()}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    faults = [f"{name}: {one.fault}" for name, one in found.items() if one.fault]
    said = [one.said for one in found.values()]
    return {"kind": kind, "seed": seed, "past": past, "said": said, "faults": faults}


def work(jobs: list[Job]) -> None:
    """In a process of its own: a line of JSON for each input."""
    import torch

    torch.set_num_threads(1)
    out = sys.stdout
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 to the end
    with tempfile.TemporaryDirectory(prefix="hostile-") as name:
        os.environ["XDG_CACHE_HOME"] = f"{name}/cache"
        for kind, start, stop in jobs:
            for seed in range(start, stop):
                out.write(json.dumps(run_one(kind, seed, Path(name))) + "\n")
                out.flush()


def results(jobs: list[Job]) -> Iterator[dict[str, Any]]:
    """Results of inputs in order, from as many processes as it takes."""
    left = [(kind, seed) for kind, start, stop in jobs for seed in range(start, stop)]
    done = 0
    while done < len(left):
        todo = ranges(left[done:])
        command = [sys.executable, "-m", "hostile.soak", "work", json.dumps(todo)]
        with subprocess.Popen(
            command, bufsize=0, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as worker:
            assert worker.stdout is not None
            while select.select([worker.stdout], [], [], HANGS)[0]:
                line = worker.stdout.readline()
                if not line:
                    break
                done += 1
                yield json.loads(line)
            hung = worker.poll() is None and done < len(left)
            worker.kill()
        if done < len(left):
            kind, seed = left[done]
            why = f"hangs for {HANGS:.0f} s" if hung else f"the process died ({worker.wait()})"
            yield {"kind": kind, "seed": seed, "past": False, "said": [], "faults": [why]}
            done += 1


def ranges(inputs: list[tuple[str, int]]) -> list[Job]:
    """The inputs as kind, first number and the one behind the last."""
    found: list[Job] = []
    for kind, seed in inputs:
        if found and found[-1][0] == kind:
            found[-1] = (kind, found[-1][1], seed + 1)
        else:
            found.append((kind, seed, seed + 1))
    return found


def figures(rows: list[dict[str, Any]]) -> str:
    """A table: inputs, readings, share past the header, outcomes, faults."""
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    lines = ["| kind | inputs | past the header | readings | results | own errors | faults |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    for kind in [*kinds, "all"]:
        own = [row for row in rows if kind in (row["kind"], "all")]
        said = Counter(word for row in own for word in row["said"])
        past = sum(row["past"] for row in own) / max(1, len(own))
        faults = sum(bool(row["faults"]) for row in own)
        lines.append(
            f"| {kind} | {len(own)} | {past:.0%} | {sum(said.values())} | {said['a result']} "
            f"| {said['an error']} | {faults} |"
        )
    return "\n".join(lines)


def soak(state: Path, share: float, kinds: list[str]) -> int:
    from .kinds import KINDS

    state.parent.mkdir(parents=True, exist_ok=True)
    lines = state.read_text().split("\n")[:-1] if state.is_file() else []
    rows = [json.loads(line) for line in lines]
    if lines:  # without the end of a line that was cut short
        state.write_text("".join(f"{line}\n" for line in lines))
    jobs = []
    for part in range(1, PARTS + 1):  # a run that is stopped has seen all kinds alike
        for kind in kinds or list(KINDS):
            done = sum(row["kind"] == kind for row in rows)
            first, last = (
                max(1, round(KINDS[kind].count * share * p / PARTS)) if p else 0
                for p in (part - 1, part)
            )
            jobs.append((kind, max(done, first), last))
    with state.open("a") as log:
        for row in results([job for job in jobs if job[1] < job[2]]):
            rows.append(row)
            log.write(json.dumps(row) + "\n")
            log.flush()
            for fault in row["faults"]:
                print(f"{row['kind']} {row['seed']}: {fault}", flush=True)
    print(figures(rows))
    return int(any(row["faults"] for row in rows))


def main() -> int:
    if sys.argv[1:2] == ["work"]:
        work(json.loads(sys.argv[2]))
        return 0
    if sys.argv[1:2] == ["one"]:
        with tempfile.TemporaryDirectory() as name:
            print(json.dumps(run_one(sys.argv[2], int(sys.argv[3]), Path(name)), indent=1))
        return 0
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("state", type=Path)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--only", action="append", default=[])
    given = parser.parse_args()
    return soak(given.state, given.share, given.only)


if __name__ == "__main__":
    sys.exit(main())
