"""The pool of threads among which torch shares out an operation on a CPU.

With GNU's OpenMP, which torch has on Linux, every thread that calls torch has a pool of its own,
and keeps it. Threads of a pool that wait for the next operation look out for it for some
milliseconds (`GOMP_SPINCOUNT`), and then sleep. Both ends are bad:

- While there are more threads in all pools than processors, they sleep at once, and waking them
  takes longer than most operations of a small model. A model that is loaded in one thread and used
  in another, as in most servers, takes half as long again.
- Otherwise they keep processors from work of others: two programs on two processors take five to a
  hundred times as long.

So our programs have them look out for some microseconds (`wait_briefly`), and then, and only then,
end a pool with the work that it was started for (`temporary_thread_pool`).
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

BRIEFLY = "1000"  # looks at a flag: some 10 microseconds
WAIT_VARIABLES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")  # of the library: how long threads wait
SOFT = 1  # omp_pause_soft: what the library holds for its threads is let go, settings stay
LOADED_ONLY = getattr(os, "RTLD_NOLOAD", 0) | getattr(os, "RTLD_NOW", 0)  # never a second copy

_inside = threading.local()


def wait_briefly() -> None:
    """Have waiting threads sleep soon, unless the environment says how long they are to wait.

    For programs, before torch is loaded; its processes take it over.
    """
    if not any(name in os.environ for name in WAIT_VARIABLES):
        os.environ["GOMP_SPINCOUNT"] = BRIEFLY


@contextmanager
def temporary_thread_pool() -> Iterator[None]:
    """Ends, on leaving, the OpenMP threads that torch has started for the calling thread.

    Nested uses end with the outermost; starting the threads again takes some 50 microseconds.
    Nothing ends where the environment does not say how long threads wait (`wait_briefly`).
    """
    depth = getattr(_inside, "depth", 0)
    _inside.depth = depth + 1
    try:
        yield
    finally:
        _inside.depth = depth
        if not depth and any(name in os.environ for name in WAIT_VARIABLES):
            release_thread_pool()


def release_thread_pool() -> None:
    """End the calling thread's pool, where it is GNU's; the next operation starts another.

    Other threads' pools stay. Inside of an operation nothing happens.
    """
    for pause in _pauses() if "torch" in sys.modules else ():
        pause(SOFT)


@cache
def _pauses() -> list[Callable[[int], int]]:
    """`omp_pause_resource_all` of every copy of GNU's library that is loaded.

    Others have it too (LLVM's, Intel's), but end the pools of all threads by it.
    """
    if sys.platform != "linux":
        return []
    found: list[Callable[[int], int]] = []
    for path in _loaded("libgomp"):
        with suppress(OSError, AttributeError):  # before GCC 9 there is no such function
            found.append(ctypes.CDLL(path, mode=LOADED_ONLY).omp_pause_resource_all)
    return found


def _loaded(name: str) -> list[str]:
    """Files of this process's memory whose names begin so."""
    try:
        maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return []
    columns = (line.split(maxsplit=5) for line in maps.split("\n"))
    paths = {line[5].removesuffix(" (deleted)") for line in columns if len(line) == 6}
    return sorted(path for path in paths if Path(path).name.startswith(name))
