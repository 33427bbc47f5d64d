"""A pool of OpenMP's threads ends when it is let go, and with the work that it was started for."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest
import torch
from conftest import make_pipeline

from ufc_base.computing.inference import as_stored
from ufc_base.computing.thread_pool import WAIT_VARIABLES, _loaded, _pauses, wait_briefly

GNU = pytest.mark.skipif(not _pauses(), reason="no OpenMP of GNU's here")
COUNTED = """
import os
from ufc_base.computing.thread_pool import (
    release_thread_pool, temporary_thread_pool, wait_briefly,
)

if PROGRAM:
    wait_briefly()
import torch

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
release_thread_pool()
print(settled(0), work(), end=" ")
with temporary_thread_pool():
    with temporary_thread_pool():
        work()
    print(work(), end=" ")
print(settled(0), work())
"""


@GNU
@pytest.mark.parametrize("program", [True, False])
def test_threads_end_with_their_work_in_programs_and_stay_where_they_would_wait_long(
    program: bool,
) -> None:
    command = [sys.executable, "-c", COUNTED.replace("PROGRAM", str(program))]
    own = {name: value for name, value in os.environ.items() if name not in WAIT_VARIABLES}
    ran = subprocess.run(command, capture_output=True, text=True, check=True, env=own)
    end = "0" if program else "2"
    assert ran.stdout.split() == ["2", "0", "2", "2", end, "2"]


def test_what_the_environment_says_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in WAIT_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    wait_briefly()
    assert "GOMP_SPINCOUNT" not in os.environ
    monkeypatch.delenv("OMP_WAIT_POLICY")
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    wait_briefly()
    assert os.environ["GOMP_SPINCOUNT"] == "7"


@GNU
def test_a_thread_that_has_called_a_pipeline_keeps_no_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A wide model and large pictures: every operation is shared out."""
    monkeypatch.setenv("GOMP_SPINCOUNT", "1000")
    pipe = make_pipeline(width=256, feed_forward=512)
    codes = pipe("bag", seed=1).codes
    left: list[int] = []

    def work() -> None:
        before = len(os.listdir("/proc/self/task"))
        pipe("bag", seed=1, num_images_per_prompt=4)
        pipe.decode_pil(codes)
        for _ in range(2000):
            if len(os.listdir("/proc/self/task")) <= before:
                break
            os.sched_yield()
        left.append(len(os.listdir("/proc/self/task")) - before)

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    finally:
        torch.set_num_threads(threads)
    assert left[0] <= 0  # others of the process may have ended meanwhile


def test_libraries_are_found_by_the_names_of_their_files() -> None:
    assert _loaded("no such library") == []
    assert all(path.startswith("/") for path in _loaded("lib"))


def test_a_fingerprint_looks_at_weights_where_they_lie() -> None:
    """Copying all convolutions at every call took a tenth of a picture's time."""
    for weight in (
        torch.rand(4, 3, 2, 2),
        torch.rand(4, 3, 2, 2).to(memory_format=torch.channels_last),
        torch.rand(5, 7),
    ):
        assert as_stored(weight).data_ptr() == weight.data_ptr()
        assert sorted(as_stored(weight).tolist()) == sorted(weight.flatten().tolist())
