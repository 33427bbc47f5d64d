"""Seconds of several things that take turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from ufc.benchmark import synchronise


def take_turns(runs: list[Callable[[], object]], rounds: int, warm: bool = False) -> list[float]:
    """Median seconds of each, one of each a round."""
    times: list[list[float]] = [[] for _ in runs]
    for number in range(rounds + (not warm)):
        for run, seconds in zip(runs, times, strict=True):
            synchronise()
            started = time.perf_counter()
            run()
            synchronise()
            if warm or number:
                seconds.append(time.perf_counter() - started)
    return [statistics.median(each) for each in times]
