"""What a job is, how it is done at one go, and how with kills on its way."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from .processes import Process, started

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
PATIENCE = 120.0  # seconds that a process has to end after a signal


class Job(Protocol):
    """Work in a folder that can be killed and gone on with."""

    def begin(self, folder: Path, log: Path) -> Process:
        """Start it, or go on where it left off, in a process that writes its words to `log`."""

    def state(self, folder: Path) -> Any:
        """What is there at the end, in what `different` compares."""

    def check(self, folder: Path) -> object:
        """Look at what a kill has left, before it is gone on with; raises where half a file is."""


@dataclass(frozen=True)
class Work:
    """A job that is done in a fork of this process: `do` works in a folder."""

    do: Callable[[Path], object]
    state: Callable[[Path], Any]
    check: Callable[[Path], object]

    def begin(self, folder: Path, log: Path) -> Process:
        return started(lambda: self.do(folder), log)


def whole_run(job: Job, folder: Path) -> float:
    """Do a job without a kill; returns its seconds."""
    folder.mkdir()
    log = folder.with_suffix(".log")
    process = job.begin(folder, log)
    start = time.monotonic()
    code = process.finishes()
    assert code == 0, f"exit code {code}: {log.read_text()[-800:]}"
    return time.monotonic() - start


def killed_run(
    job: Job,
    folder: Path,
    seconds: float,
    rng: random.Random,
    kills: int,
    signals: Sequence[signal.Signals] = SIGNALS,
) -> dict[str, int]:
    """Do a job that is killed so many times at any moment by one of `signals`, and go on to its end.

    Returns how many kills of each signal found it at work.
    """
    folder.mkdir()
    log = folder.with_suffix(".log")
    found = dict.fromkeys((number.name for number in SIGNALS), 0)
    for _ in range(kills):
        process = job.begin(folder, log)
        code = process.ends(rng.uniform(0, seconds))
        if code is None:
            number = rng.choice(signals)
            process.kill(number)
            found[number.name] += 1
            code = process.ends(PATIENCE)
            if code is None:
                process.kill(signal.SIGKILL)
                process.ends(PATIENCE)
                raise AssertionError(f"{number.name} does not end it")
            said = log.read_text(errors="replace")
            assert "Traceback" not in said, f"{number.name} ends in a traceback: {said[-600:]}"
        job.check(folder)
        if code == 0:
            break
    code = job.begin(folder, log).finishes()
    assert code == 0, f"does not go on, exit code {code}: {log.read_text()[-800:]}"
    whole_files(folder)
    return found


def whole_files(folder: Path) -> None:
    """Every file under a name of its own is whole; hidden ones are what a kill left behind."""
    for path in folder.rglob("*"):
        if any(part.startswith(".") for part in path.relative_to(folder).parts) or path.is_dir():
            continue
        if path.suffix in (".png", ".jpg"):
            Image.open(path).load()
        elif path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".safetensors":
            load_file(path)
        elif path.suffix == ".pt":
            torch.load(path, weights_only=True)
        elif path.suffix in (".npz", ".npy"):
            np.load(path, allow_pickle=False)


def different(first: Any, second: Any, name: str = "") -> str:
    """Where two states differ; empty where they are equal."""
    if isinstance(first, dict) and isinstance(second, dict) and first.keys() == second.keys():
        return next(
            filter(None, (different(first[k], second[k], f"{name}.{k}") for k in first)), ""
        )
    same = isinstance(first, list | tuple) and isinstance(second, list | tuple)
    if same and len(first) == len(second):
        pairs = enumerate(zip(first, second, strict=True))
        return next(filter(None, (different(a, b, f"{name}[{n}]") for n, (a, b) in pairs)), "")
    return "" if first == second else f"{name}: {first!r:.300} and {second!r:.300}"
