"""The pool of threads among which torch shares out an operation on a CPU.

With GNU's OpenMP, which torch has on Linux, every thread that calls torch has a pool of its own, and
keeps it. While there are more threads in all pools than processors, those that wait for the next
operation go to sleep at once, where they otherwise look out for it for some milliseconds; and waking
them takes longer than most operations of a small model. So a model that is loaded in one thread and
used in another, as in most servers, takes half as long again.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

SOFT = 1  # omp_pause_soft: what the library holds for its threads is let go, settings stay


@contextmanager
def own_threads() -> Iterator[None]:
    """Threads that torch starts in it for the calling thread end with it; starting them again
    takes some 50 microseconds."""
    try:
        yield
    finally:
        release_threads()


def release_threads() -> None:
    """End the calling thread's pool, where it is GNU's; the next operation starts another.

    Other threads' pools stay. Inside of an operation nothing happens.
    """
    for pause in _pauses():
        pause(SOFT)


@cache
def _pauses() -> list[Callable[[int], int]]:
    """`omp_pause_resource_all` of every copy of GNU's library that is loaded.

    Others have it too (LLVM's, Intel's), but end the pools of all threads by it.
    """
    if sys.platform != "linux":
        return []
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
        paths = sorted({line.split(maxsplit=5)[5] for line in lines if "libgomp" in line})
        return [ctypes.CDLL(path).omp_pause_resource_all for path in paths]
    except (OSError, AttributeError):  # before GCC 9 there is no such function
        return []
