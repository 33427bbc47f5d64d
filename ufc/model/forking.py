"""Work in a process that was forked from one where torch has worked before.

Such a child has its parent's pools without the threads in them: the first operation that is shared
out among them waits for ever. Only GNU's OpenMP has its pool ended before a fork, and the forking
thread's alone. With one thread nothing is shared out, which is what torch's own `DataLoader` sets
in its workers.
"""

from __future__ import annotations

import logging
import os

import torch

from ufc_base.computing.thread_pool import release_thread_pool

logger = logging.getLogger(__name__)

_at_work: int | None = None  # the process that uses torch


def prepare_process() -> None:
    """Called before torch works: a forked child goes on with one thread, and logs that once."""
    global _at_work
    process = os.getpid()
    if _at_work is None and hasattr(os, "register_at_fork"):
        # A child that ended the pool of its parent would wait for threads that it has not.
        os.register_at_fork(before=release_thread_pool)
    if _at_work not in (None, process):
        torch.set_num_threads(1)
        logger.warning(
            "this process was forked after torch had worked: it goes on with one thread; for more, "
            'start processes by "spawn" or "forkserver", or fork before the pipeline is made'
        )
    _at_work = process
