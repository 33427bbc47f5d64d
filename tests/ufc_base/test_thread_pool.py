"""A pool of OpenMP's threads ends when it is let go, and with the work that it was started for."""

from __future__ import annotations

import subprocess
import sys

import pytest
from ufc_base.thread_pool import _pauses

COUNTED = """
import os
import torch
from ufc_base.thread_pool import own_threads, release_threads

torch.set_num_threads(3)
alone = len(os.listdir("/proc/self/task"))

def work() -> int:
    torch.rand(1 << 20).add_(1).sqrt_()
    return len(os.listdir("/proc/self/task")) - alone

def settled(wanted: int) -> int:
    for _ in range(2000):  # a thread that has ended is seen for a moment yet
        if len(os.listdir("/proc/self/task")) - alone <= wanted:
            break
        os.sched_yield()
    return len(os.listdir("/proc/self/task")) - alone

print(work(), end=" ")
release_threads()
print(settled(0), work(), end=" ")
with own_threads():
    work()
print(settled(0), work())
"""


@pytest.mark.skipif(not _pauses(), reason="no OpenMP of GNU's here")
def test_threads_end_when_they_are_let_go_and_start_again_with_the_next_operation() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", COUNTED], capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == ["2", "0", "2", "0", "2"]
