"""One prompts file among the workers of a Ray cluster, or of this machine.

    python examples/ray_batch.py --workers 4 --prompts-file prompts.jsonl --output-dir out --seed 1
    python examples/ray_batch.py --smoke          # four pictures, two workers: does it run?

Each worker is a task that starts `ufc generate` for its share; all flags but the ones below are
handed on to it. A process that dies is started again, up to `--retries` times, and generates what
is missing; so does the same command later. On several machines the working folder, and the output
folder in it, lie on a file system that all see and whose locks hold between them.
"""

from __future__ import annotations

import argparse
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

BAD_INPUT = 2  # the exit code of `ufc` for what another try would not mend
SMOKE = ["--num-inference-steps", "2", "--best-of", "1", "--seed", "1", "--quiet"]


def worker_environment(rank: int, count: int, run: str) -> dict[str, str]:
    """What tells a process that it is number `rank` of `count`, as torchrun would say it.

    Ray shows a task the GPUs that it was given and no others, so each is the first on its machine.
    `run` is the same for all: seeds of requests without one are made of it.
    """
    return {
        "RANK": str(rank),
        "WORLD_SIZE": str(count),
        "LOCAL_RANK": "0",
        "TORCHELASTIC_RUN_ID": run,
    }


def generate(folder: str, environment: Mapping[str, str], flags: Sequence[str]) -> int:
    """`ufc generate` for one share, from a working folder; returns the exit code."""
    command = [sys.executable, "-m", "ufc", "generate", *flags, "--resume"]
    return subprocess.run(command, cwd=folder, env=os.environ | environment).returncode


def code_of(ray: Any, task: Any) -> int:
    """The exit code of a task's process; 1 where the task was lost with its machine."""
    try:
        return int(ray.get(task))
    except ray.exceptions.RayError as error:
        say(str(error).partition("\n")[0])
        return 1


def run_shares(ray: Any, options: argparse.Namespace, flags: Sequence[str]) -> dict[int, int]:
    """Generate all shares, again where a process failed; returns exit codes by worker."""
    task = ray.remote(
        num_cpus=options.cpus_per_worker, num_gpus=options.gpus_per_worker, max_retries=3
    )(generate)
    codes: dict[int, int] = {}
    todo: Iterable[int] = range(options.workers)
    for _ in range(1 + options.retries):
        tasks = {
            rank: task.remote(
                os.getcwd(), worker_environment(rank, options.workers, options.run), flags
            )
            for rank in todo
        }
        codes |= {rank: code_of(ray, one) for rank, one in tasks.items()}
        todo = [rank for rank in tasks if codes[rank] not in (0, BAD_INPUT)]
        if not todo or BAD_INPUT in codes.values():
            break
        say(f"workers {', '.join(map(str, todo))} failed")
    return codes


def smoke_flags(folder: Path) -> list[str]:
    """A prompts file of four lines in a folder, and flags that generate them fast."""
    prompts = folder / "prompts.txt"
    prompts.write_text("".join(f"{colour} bag\n" for colour in ("red", "blue", "black", "white")))
    return ["--prompts-file", str(prompts), "--output-dir", str(folder / "out"), *SMOKE]


def parse(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """Own options, and the flags that are for `ufc generate`."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], allow_abbrev=False
    )
    parser.add_argument("--workers", type=int, default=2, help="shares of the prompts file (2)")
    parser.add_argument("--cpus-per-worker", type=float, default=1)
    parser.add_argument("--gpus-per-worker", type=float, default=0)
    parser.add_argument("--retries", type=int, default=2, help="of a process that failed (2)")
    parser.add_argument("--address", help="of a cluster, or auto (Ray is started here without it)")
    parser.add_argument(
        "--run", default=secrets.token_hex(4), help="name of the run, for seeds (random)"
    )
    parser.add_argument("--smoke", action="store_true", help="four pictures of two steps")
    options, flags = parser.parse_known_args(arguments)
    if options.workers < 1:
        parser.error(f"argument --workers: got {options.workers}, wanted at least 1")
    if not options.smoke and not {"--prompts-file", "--output-dir"} <= {
        flag.partition("=")[0] for flag in flags
    }:
        parser.error("give --prompts-file and --output-dir, or --smoke")
    return options, flags


def say(text: str) -> None:
    sys.stderr.write(f"ray_batch: {text}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    options, flags = parse(arguments)
    try:
        import ray
    except ImportError:
        say("Ray is not installed; run pip install ray")
        return 1
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing goes out unasked
    with tempfile.TemporaryDirectory() as folder:
        if options.smoke:
            flags = [*smoke_flags(Path(folder)), *flags]
        try:
            ray.init(address=options.address, include_dashboard=False)
        except Exception as error:  # each version raises others
            say(f"Ray did not start: {error}")
            return 1
        try:
            codes = run_shares(ray, options, flags)
        finally:
            ray.shutdown()
    failed = {rank: code for rank, code in codes.items() if code}
    for rank, code in failed.items():
        say(f"worker {rank} ended with exit code {code}")
    if failed:
        say("the same command generates what is missing")
        return BAD_INPUT if BAD_INPUT in failed.values() else 1
    say(f"{options.workers} workers are done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
