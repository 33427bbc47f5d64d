"""How fast shards are read in passing: bytes alone, and pictures decoded and resized.

    python -m benchmarks.stream DATA --resolution 128 --seconds 10

One number is for one core; with `--workers N` the second is for N reading processes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

from ufc_base.data.datasets import DataError, shard_urls
from ufc_base.data.streams import StreamPlan, lane_samples, open_stream

LANES = 4


def rate(counts: Iterator[int], seconds: float) -> float:
    """What an endless iterator counts per second, its first item left out."""
    next(counts)
    started, total = time.perf_counter(), 0
    for count in counts:
        total += count
        if time.perf_counter() - started > seconds:
            break
    return total / (time.perf_counter() - started)


def measure(data: str, resolution: int, seconds: float, workers: int) -> dict[str, Any]:
    """Bytes and samples per second of the shards at `data`."""
    plan = StreamPlan(tuple(shard_urls(data)), LANES * max(1, workers), 8, 256, seed=0)
    sizes = (
        sum(len(value) for value in raw.values() if isinstance(value, bytes))
        for raw, _ in lane_samples(plan, 0)
    )
    some = list(itertools.islice(sizes, 256))
    stream = open_stream(plan, range(plan.lanes), resolution, workers)
    return {
        "bytes_per_sample": round(sum(some) / len(some)),
        "read_per_second": round(rate((1 for _ in lane_samples(plan, 0)), seconds / 2)),
        "decoded_per_second": round(
            rate((len(stream.next()[1]) for _ in itertools.count()), seconds)
        ),
        "resolution": resolution,
        "workers": workers,
    }


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="folder or addresses of shards")
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    try:
        print(json.dumps(measure(**vars(options))))
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
