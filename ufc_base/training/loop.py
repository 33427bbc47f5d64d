"""What every training loop here needs: schedule, weight averages, checkpoints, a log.

A checkpoint is a folder `checkpoint-N` with `trainer.pt`, read back with torch's restricted
loader. It is written beside its place and renamed, so a kill never leaves half of one.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Protocol, TextIO

import torch
from torch import Tensor, nn

from ufc_base.checkpoint import CheckpointError
from ufc_base.settings import LoopSettings
from ufc_base.training.processes import Engine, spread, whole


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
        return {"updates": self.updates, "shadow": whole(self.shadow)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.updates = state["updates"]
        for name, value in state["shadow"].items():
            self.shadow[name].copy_(spread(value, self.shadow[name]))


FINISHED = ("config.json", "model_index.json")  # what a trainer writes at the end, one or other


class Checkpoints:
    """The `checkpoint-N` folders of a run."""

    def __init__(self, folder: str | PathLike[str], limit: int = 2) -> None:
        self.folder = Path(folder)
        self.limit = limit

    def numbers(self) -> list[int]:
        names = (p.name.removeprefix("checkpoint-") for p in self.folder.glob("checkpoint-*"))
        return sorted(int(name) for name in names if name.isdecimal())

    def save(self, step: int, state: dict[str, Any]) -> Path:
        """Write a checkpoint and remove others, the lowest first, beyond the limit."""
        final = self.folder / f"checkpoint-{step}"
        partial = self.folder / f".checkpoint-{step}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        torch.save(state, partial / "trainer.pt")
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        others = [number for number in self.numbers() if number != step]
        self.remove(others[::-1][self.limit - 1 :])
        return final

    def remove(self, numbers: Iterable[int]) -> None:
        """Remove the checkpoints of these steps."""
        for number in numbers:
            shutil.rmtree(self.folder / f"checkpoint-{number}", ignore_errors=True)

    def remove_newer(self, step: int) -> None:
        """Once a run goes on from `step`, what followed is another's: `latest` means this run."""
        self.remove(number for number in self.numbers() if number > step)

    def holds(self, resume: str) -> bool:
        """Whether this is the folder of the run to resume."""
        return resume == "latest" or Path(resume).resolve().parent == self.folder.resolve()

    def begin(self, resume: str | None) -> None:
        """Make the folder, before anything is computed for it.

        Raises:
            CheckpointError: it cannot be made, holds a run that is not to be resumed, or a model
                without a checkpoint to go on from.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(
                f"{self.folder} cannot be made ({error.strerror}): choose another --output-dir"
            ) from None
        if self.numbers():
            if not resume or not self.holds(resume):
                raise CheckpointError(
                    f"{self.folder} holds a run already: resume it with "
                    "--resume-from-checkpoint latest, or choose another --output-dir"
                )
        elif any((self.folder / name).is_file() for name in FINISHED):
            raise CheckpointError(
                f"{self.folder} holds a finished model and no checkpoint to resume: "
                "choose another --output-dir, or move the model out of this one"
            )

    def load(self, which: str | None) -> dict[str, Any] | None:
        """State of a checkpoint: `latest` (None if there is none yet), or a folder."""
        if not which:
            return None
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
        try:
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, UnpicklingError) as error:
            raise CheckpointError(
                f"{file} is truncated or damaged ({shortly(error)}): "
                "resume from an earlier checkpoint-N folder"
            ) from error
        return state


def shortly(error: Exception, most: int = 160) -> str:
    """The beginning of what torch tells in many lines."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= most else text[: most - 1] + "…"


class MetricsLog:
    """One JSON object a line in `metrics.jsonl`, and the same in short on a stream.

    A quiet one writes nothing: in a run of many processes only the first one's log is wanted.
    """

    def __init__(
        self, folder: str | PathLike[str], stream: TextIO | None = None, quiet: bool = False
    ) -> None:
        self.path = Path(folder) / "metrics.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.stream = stream
        self.quiet = quiet

    def write(self, step: int, **values: Any) -> None:
        if self.quiet:
            return
        row = {"step": step} | {name: plain(value) for name, value in values.items()}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        self.tell(" ".join(f"{name} {value}" for name, value in row.items()))

    def tell(self, text: str) -> None:
        """A line on the stream alone."""
        if self.stream is not None and not self.quiet:
            self.stream.write(text + "\n")
            self.stream.flush()


def plain(value: Any) -> Any:
    """A JSON value of a tensor or number, rounded to five significant digits."""
    if isinstance(value, Tensor):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.5g}")
    return value


class Averages:
    """Means of logged values between two lines of the log."""

    def __init__(self) -> None:
        self.values: dict[str, list[Any]] = defaultdict(list)

    def add(self, values: Mapping[str, Any]) -> None:
        """Keep values as they are: to look at one on a GPU would be to wait for it."""
        for name, value in values.items():
            self.values[name].append(value)

    def take(self) -> dict[str, float]:
        means = {
            name: sum(float(value) for value in found) / len(found)
            for name, found in self.values.items()
        }
        self.values.clear()
        return means


def mean_of(reports: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each value over the reports that have it."""
    averages = Averages()
    for report in reports:
        averages.add(report)
    return averages.take()


class Stateful(Protocol):
    """What a checkpoint can hold."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Trainer(Stateful, Protocol):
    """What the loop asks of a trainer."""

    step: int

    def train_step(self, batch: Any, progress: float) -> dict[str, Any]: ...


class Source(Stateful, Protocol):
    """Where a step's batch comes from: this process's slice of it."""

    def __call__(self, step: int) -> Any: ...


def go_on(trainer: Stateful, state: dict[str, Any]) -> None:
    """Load a checkpoint's state; `CheckpointError` where it is of a model of other sizes."""
    try:
        trainer.load_state_dict(state)
    except (RuntimeError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"the checkpoint does not fit this run ({shortly(error)}): give the sizes and data "
            "that it was made with, or start anew in another --output-dir"
        ) from error


def train(
    trainer: Trainer,
    source: Source,
    settings: LoopSettings,
    engine: Engine,
    validate: Callable[[MetricsLog], None],
    before_step: Callable[[float], None] = lambda progress: None,
) -> None:
    """Train to the end of a run, from its start or from a checkpoint.

    The last step is always saved and validated, once. `validate` is called by all processes, since
    sharded weights are put together by all.

    Raises:
        CheckpointError: there is no such checkpoint, it is damaged, or of another run.
    """
    checkpoints = Checkpoints(settings.output_dir, settings.checkpoints_total_limit)
    spent = 0.0
    state = checkpoints.load(settings.resume_from_checkpoint)
    if state is not None:
        go_on(trainer, state["trainer"])
        source.load_state_dict(state.get("data", {}))
        spent = state["seconds"]
        if engine.first:
            checkpoints.remove_newer(trainer.step)
    log, averages = MetricsLog(settings.output_dir, sys.stderr, quiet=not engine.first), Averages()
    clock = Clock(settings.max_train_steps, settings.max_train_minutes, spent)
    begun, begun_at = trainer.step, clock.seconds
    saved = validated = -1
    log.tell(f"{settings.output_dir}: from step {begun} to {settings.max_train_steps}")

    def save() -> None:
        state = {"trainer": trainer.state_dict(), "data": source.state_dict()}
        if engine.first:
            checkpoints.save(trainer.step, state | {"seconds": clock.seconds})

    while True:
        progress = clock.progress(trainer.step)
        if settings.max_train_minutes:
            progress = engine.agree(progress)
        if progress >= 1:
            break
        before_step(progress)
        averages.add(trainer.train_step(source(trainer.step), progress))
        if trainer.step % settings.logging_steps == 0:
            done = (trainer.step - begun) * settings.train_batch_size
            log.write(
                trainer.step,
                **mean_of(engine.gather_objects(averages.take())),
                samples_per_second=done / (clock.seconds - begun_at),
                minutes=clock.seconds / 60,
            )
        if trainer.step % settings.checkpointing_steps == 0:
            save()
            saved = trainer.step
        if trainer.step % settings.validation_steps == 0:
            validate(log)
            validated = trainer.step
    if saved != trainer.step:
        save()
    if validated != trainer.step:
        validate(log)
