"""What every training loop here needs: schedule, weight averages, checkpoints, a log.

A checkpoint is a folder `checkpoint-N` with `trainer.pt`, read back with torch's restricted
loader. It is written beside its place and renamed, so a kill never leaves half of one.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from os import PathLike
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import Tensor, nn

from vqgan.checkpoint import CheckpointError


def learning_rate_scale(
    step: int, warmup_steps: int, progress: float, floor: float = 0.02
) -> float:
    """Linear warm-up, then a cosine from 1 to `floor` as `progress` goes from 0 to 1."""
    warmup = min(1.0, (step + 1) / max(1, warmup_steps))
    return warmup * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


class Clock:
    """How far a run is, by steps or by minutes, whichever limit is nearer; survives a resume."""

    def __init__(
        self, max_steps: int, max_minutes: float | None, spent_seconds: float = 0.0
    ) -> None:
        self.max_steps = max_steps
        self.max_seconds = max_minutes * 60 if max_minutes else math.inf
        self.started = time.monotonic() - spent_seconds

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def progress(self, step: int) -> float:
        """Share of the run that is done, 0..1."""
        return min(1.0, max(step / self.max_steps, self.seconds / self.max_seconds))


class WeightAverage:
    """Exponential moving average of a module's weights, with a warm-up of the decay."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.shadow = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                self.shadow[name].lerp_(value, 1 - decay)
            else:
                self.shadow[name].copy_(value)

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self.updates, "shadow": self.shadow}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.updates = state["updates"]
        for name, value in state["shadow"].items():
            self.shadow[name].copy_(value)


class Checkpoints:
    """The `checkpoint-N` folders of a run."""

    def __init__(self, folder: str | PathLike[str], limit: int = 2) -> None:
        self.folder = Path(folder)
        self.limit = limit

    def numbers(self) -> list[int]:
        names = (path.name.rpartition("-")[2] for path in self.folder.glob("checkpoint-*"))
        return sorted(int(name) for name in names if name.isdigit())

    def save(self, step: int, state: dict[str, Any]) -> Path:
        """Write a checkpoint and remove the oldest beyond the limit."""
        final = self.folder / f"checkpoint-{step}"
        partial = self.folder / f".checkpoint-{step}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        torch.save(state, partial / "trainer.pt")
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        for number in self.numbers()[: -self.limit]:
            shutil.rmtree(self.folder / f"checkpoint-{number}", ignore_errors=True)
        return final

    def load(self, which: str) -> dict[str, Any] | None:
        """State of a checkpoint: `latest` (None if there is none yet), or a folder."""
        if which == "latest":
            numbers = self.numbers()
            if not numbers:
                return None
            path = self.folder / f"checkpoint-{numbers[-1]}"
        else:
            path = Path(which)
        file = path / "trainer.pt"
        if not file.is_file():
            raise CheckpointError(
                f"no trainer.pt in {path}: give `latest` or a checkpoint-N folder of a run"
            )
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        return state


class MetricsLog:
    """One JSON object a line in `metrics.jsonl`, and the same in short on a stream."""

    def __init__(self, folder: str | PathLike[str], stream: TextIO | None = None) -> None:
        self.path = Path(folder) / "metrics.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.stream = stream

    def write(self, step: int, **values: Any) -> None:
        row = {"step": step} | {name: plain(value) for name, value in values.items()}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        if self.stream is not None:
            shown = " ".join(f"{name} {value}" for name, value in row.items())
            self.stream.write(shown + "\n")
            self.stream.flush()


def plain(value: Any) -> Any:
    """A JSON value of a tensor or number, rounded to five significant digits."""
    if isinstance(value, Tensor):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.5g}")
    return value
