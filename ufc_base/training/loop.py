"""What every training loop here needs: schedule, weight averages, checkpoints, a log.

A checkpoint is a folder `checkpoint-N` with `trainer.pt`, read back with torch's restricted
loader. It is written beside its place and renamed, so a kill never leaves half of one, and it is
on the disk before an older one goes.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Protocol, TextIO

import torch
from torch import Tensor, nn

from ufc_base.checkpoint import CheckpointError
from ufc_base.data.names import DataError
from ufc_base.entry import write_line
from ufc_base.files import naming, sync_folder, write_atomically
from ufc_base.formats.pickles import load_tensors, shortly, tensors_of
from ufc_base.settings import LoopSettings
from ufc_base.training.clock import Clock
from ufc_base.training.processes import Engine, spread, whole
from ufc_base.training.progress_bar import TrainingBar, open_bar
from ufc_base.training.run_settings import told_changes, write_settings
from ufc_base.training.stopping import Diverged, Signals, Stopped


def learning_rate_scale(
    step: int, warmup_steps: int, progress: float, floor: float = 0.02
) -> float:
    """Linear warm-up, then a cosine from 1 to `floor` as `progress` goes from 0 to 1."""
    warmup = min(1.0, (step + 1) / max(1, warmup_steps))
    return warmup * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


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


STATE = "trainer.pt"
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
        final = self.path(step)
        for stale in self.folder.glob(".checkpoint-*"):  # of a run that was killed
            shutil.rmtree(stale, ignore_errors=True)
        partial = self.folder / f".checkpoint-{step}.partial"
        partial.mkdir(parents=True)
        try:
            with naming(final), (partial / STATE).open("wb") as file:
                torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())
            if final.exists():
                (partial / STATE).replace(final / STATE)
            else:
                partial.rename(final)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        sync_folder(final)
        sync_folder(self.folder)
        others = [number for number in self.numbers() if number != step]
        self.remove(others[::-1][self.limit - 1 :])
        return final

    def path(self, step: int) -> Path:
        """Folder of the checkpoint of a step."""
        return self.folder / f"checkpoint-{step}"

    def remove(self, numbers: Iterable[int]) -> None:
        """Remove the checkpoints of these steps, each at once or not at all."""
        for number in numbers:
            going = self.folder / f".checkpoint-{number}.removed"
            self.path(number).rename(going)
            shutil.rmtree(going, ignore_errors=True)

    def remove_newer(self, step: int) -> None:
        """Once a run goes on from `step`, what followed is another's: `latest` means this run."""
        self.remove(number for number in self.numbers() if number > step)

    def holds(self, resume: str) -> bool:
        """Whether this is the folder of the run to resume."""
        return resume == "latest" or Path(resume).resolve().parent == self.folder.resolve()

    def begin(self, resume: str | None, settings: Any = None) -> None:
        """Make the folder and keep a new run's settings in it, before anything is computed for it.

        A run that is resumed keeps its own until its checkpoint has been read.

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
        elif settings is not None:
            write_settings(self.folder, settings)

    def find(self, which: str | None) -> Path | None:
        """Folder of a checkpoint: of `latest` (None if there is none yet), or the one named."""
        if which != "latest":
            return Path(which) if which else None
        numbers = self.numbers()
        return self.path(numbers[-1]) if numbers else None

    def load(self, which: str | None) -> dict[str, Any] | None:
        """State of a checkpoint: `latest` (None if there is none yet), or a folder.

        Raises:
            CheckpointError: there is none, half of one, or something else.
        """
        path = self.find(which)
        if path is None:
            return None
        file = path / STATE
        if not file.is_file():
            raise CheckpointError(
                f"no {STATE} in {path}: {self.others(path)} give `latest` or a checkpoint-N "
                "folder of a run"
            )
        try:
            state = load_tensors(file)
        except CheckpointError as error:
            raise CheckpointError(
                f"{file} is truncated or damaged ({error}): {self.others(path)} "
                "resume from an earlier checkpoint-N folder"
            ) from error
        if not isinstance(state, dict):
            raise CheckpointError(f"{file} holds no training state: {self.others(path)}")
        return state

    def others(self, path: Path) -> str:
        """What to resume from instead of a checkpoint that is unusable."""
        found = [self.path(n) for n in self.numbers() if (self.path(n) / STATE).is_file()]
        found = [other for other in found if other.resolve() != path.resolve()]
        return f"there is {found[-1]};" if found else "there is no other in this folder;"


def not_finite(state: Any, name: str = "") -> list[str]:
    """Names of the tensors of a state that hold NaN or infinity."""
    return [
        one
        for one, value in tensors_of(state, name)
        if value.is_floating_point() and not bool(value.isfinite().all())
    ]


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
        self.bar: TrainingBar | None = None

    def write(self, step: int, **values: Any) -> None:
        if self.quiet:
            return
        row = {"step": step} | {name: plain(value) for name, value in values.items()}
        with naming(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        self.tell(" ".join(f"{name} {value}" for name, value in row.items()))

    def go_back(self, step: int, validated: bool) -> None:
        """Leave out what was logged after a step that the run goes on from, or half logged.

        Of the step itself what held-out data said goes too, unless it was `validated`: it is
        measured again.
        """
        if self.quiet or not self.path.is_file():
            return
        rows = [parsed(line) for line in self.path.read_bytes().split(b"\n")]
        kept = [
            row
            for row in rows
            if row is not None
            and (row["step"], not validated and of_held_out(row)) <= (step, False)
        ]
        text = "".join(json.dumps(row) + "\n" for row in kept)
        write_atomically(self.path, lambda file: file.write(text.encode()))

    def tell(self, text: str) -> None:
        """A line on the stream alone."""
        if self.bar is not None:
            self.bar.line(text)
        elif self.stream is not None and not self.quiet:
            write_line(self.stream, text)


def parsed(line: bytes) -> dict[str, Any] | None:
    """A row of the log; None for a line that is none, as a kill may leave the last."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and isinstance(row.get("step"), int) else None


def of_held_out(row: Mapping[str, Any]) -> bool:
    return any(name.startswith("val_") for name in row)


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

    def state_dict(self) -> dict[str, list[float]]:
        """What the next line of the log is to be the mean of, so far."""
        return {name: [float(value) for value in found] for name, found in self.values.items()}

    def load_state_dict(self, state: Mapping[str, Sequence[float]]) -> None:
        self.values = defaultdict(list, {name: list(found) for name, found in state.items()})

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


class Stepping(Stateful, Protocol):
    """A trainer, whatever its steps take."""

    step: int


class Trainer(Stepping, Protocol):
    """What the loop asks of a trainer."""

    def train_step(self, batch: Any, progress: float) -> dict[str, Any]: ...


class Source(Stateful, Protocol):
    """Where a step's batch comes from: this process's slice of it.

    One that leaves out samples on its way says which by `left_out()`, a list of lines.
    """

    def __call__(self, step: int) -> Any: ...


def go_on(trainer: Stateful, state: dict[str, Any]) -> None:
    """Load a checkpoint's state; `CheckpointError` where it is of a model of other sizes."""
    try:
        trainer.load_state_dict(state)
    except (RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"the checkpoint does not fit this run ({shortly(error)}): give the sizes and data "
            "that it was made with, or start anew in another --output-dir"
        ) from error


def refuse_unsound(path: Path, state: Mapping[str, Any]) -> None:
    """Raise `CheckpointError` for a state that is none of a run, or has weights not finite."""
    trainer, seconds = state.get("trainer"), state.get("seconds")
    counts = [state.get("skipped", 0), trainer.get("step") if isinstance(trainer, dict) else None]
    numbers = isinstance(seconds, int | float) and math.isfinite(seconds) and seconds >= 0
    if not numbers or not all(type(count) is int and count >= 0 for count in counts):
        raise CheckpointError(f"{path} is no checkpoint of this kind of run")
    if unsound := not_finite(trainer):
        raise CheckpointError(
            f"{path}: {unsound[0]} is not finite ({len(unsound)} tensors): resume from an earlier "
            "checkpoint-N folder"
        )


class RunSettings(Protocol):
    """What `Run` has to know of a recipe."""

    output_dir: str
    resume_from_checkpoint: str | None
    max_train_steps: int
    max_train_minutes: float | None
    train_batch_size: int
    logging_steps: int
    checkpointing_steps: int
    checkpoints_total_limit: int
    max_skipped_steps: int


class Run:
    """What goes on around a training's steps: signals, time, log, bar and checkpoints.

    A context manager; it begins by loading the checkpoint to resume from.

    Raises:
        CheckpointError: there is no such checkpoint, it is damaged, or of another run.
    """

    def __init__(
        self,
        trainer: Stepping,
        settings: RunSettings,
        engine: Engine,
        data: Stateful | None = None,
    ) -> None:
        self.trainer = trainer
        self.settings, self.engine, self.data = settings, engine, data
        self.checkpoints = Checkpoints(settings.output_dir, settings.checkpoints_total_limit)
        self.log = MetricsLog(settings.output_dir, sys.stderr, quiet=not engine.first)
        self.averages, self.signals = Averages(), Signals()
        self.skipped = self.in_a_row = 0
        self.saved = self.validated = -1
        spent = self._resume()
        self.begun = self.trainer.step
        self.clock, self.worked = Clock(settings.max_train_minutes, spent), 0.0
        self.log.tell(
            f"{settings.output_dir}: from step {self.begun} to {settings.max_train_steps}"
        )

    def _resume(self) -> float:
        """Go on from the checkpoint that was asked for; returns the seconds it took to get there.

        Settings that differ are told, and the new ones kept.
        """
        settings = self.settings
        path = self.checkpoints.find(settings.resume_from_checkpoint)
        state = self.checkpoints.load(settings.resume_from_checkpoint)
        if path is None or state is None:
            if self.engine.first:
                self.log.go_back(0, validated=False)  # of one that was killed before it
            return 0.0
        refuse_unsound(path, state)
        go_on(self.trainer, state["trainer"])
        if self.data is not None:
            self.data.load_state_dict(state.get("data", {}))
        self.skipped = state.get("skipped", 0)
        self.in_a_row = state.get("in_a_row", 0)
        if self.checkpoints.holds(str(path)):
            self.saved = self.trainer.step
        self.validated = state.get("validated", self.trainer.step)
        averages = state.get("averages") or [{}]
        self.averages.load_state_dict(averages[self.engine.ranks.rank % len(averages)])
        if self.engine.first and self.checkpoints.holds(str(path)):
            self.log.go_back(self.trainer.step, self.validated == self.trainer.step)
        if self.engine.first:
            self.checkpoints.remove_newer(self.trainer.step)
            if told := told_changes(path.parent, settings):
                self.log.tell(told)
            write_settings(settings.output_dir, settings)
        return float(state["seconds"])

    def __enter__(self) -> Run:
        self.signals.__enter__()
        if self.engine.first:
            self.log.bar = open_bar(self.settings.max_train_steps, self.log.stream)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.log.bar is not None:
            self.log.bar.close()
            self.log.bar = None
        self.signals.__exit__(kind, error, trace)

    def progress(self, step: int, steps: int, timed: bool = True) -> float:
        """Share that is done of so many steps or of the minutes, 0..1; the same in all processes.

        Raises:
            Stopped: a signal has come; what was learnt is saved.
        """
        share = max(step / steps, self.clock.share if timed else 0.0)
        share, number = self.engine.most(share, self.signals.number)
        if number:
            self.stop(int(number))
        return min(1.0, share)

    def batch(self, source: Source) -> Any:
        """The step's batch. A signal to the whole process group ends data workers too."""
        try:
            return source(self.trainer.step)
        except Exception as error:
            if self.engine.ranks.alone and self.signals.number:
                self.stop(self.signals.number)
            if self.engine.ranks.alone and isinstance(error, DataError):
                self.save()  # what was learnt so far is not the data's fault
            raise

    def took(self, values: dict[str, Any], **told: Any) -> None:
        """After a step: count its time and its loss, write what is due to the log.

        `told` is logged as it is, `values` as means. A trainer that has skipped the step says
        `skipped`.

        Raises:
            Diverged: too many steps in a row were skipped.
        """
        settings, step = self.settings, self.trainer.step
        self.worked += self.clock.lap()
        self._count_skipped(bool(values.pop("skipped", False)))
        self.averages.add(values)
        rate = (step - self.begun) * settings.train_batch_size / max(self.worked, 1e-9)
        if self.log.bar is not None:
            self.log.bar.reach(step, rate, loss_of(values), self.seconds_left())
        if step % settings.logging_steps == 0:
            if self.skipped:
                told["skipped_steps"] = self.skipped
            self.log.write(
                step,
                **mean_of(self.engine.gather_objects(self.averages.take())),
                **told,
                samples_per_second=rate,
                minutes=self.clock.seconds / 60,
            )
            for line in getattr(self.data, "left_out", list)():
                self.log.tell(line)

    def _count_skipped(self, skipped: bool) -> None:
        if not skipped:
            self.in_a_row = 0
            return
        self.skipped += 1
        self.in_a_row += 1
        step, most = self.trainer.step, self.settings.max_skipped_steps
        if self.in_a_row > most:
            raise Diverged(
                f"the loss was not finite in {self.in_a_row} steps in a row, to step {step}; "
                + self.last_good()
            )
        self.log.tell(
            f"step {step} is skipped, its loss or gradient is not finite "
            f"({self.in_a_row} in a row, at most {most})"
        )

    def seconds_left(self) -> float:
        """Until the steps are done or the minutes over, as it has gone so far."""
        done, left = self.trainer.step - self.begun, self.settings.max_train_steps
        by_steps = (left - self.trainer.step) * self.worked / max(1, done)
        return min(by_steps, max(0.0, self.clock.max_seconds - self.clock.seconds))

    def due(self, every: int) -> bool:
        return bool(self.trainer.step % every == 0)

    def save(self) -> None:
        """Write a checkpoint, of sound weights only.

        Raises:
            Diverged: they are not finite.
        """
        if self.saved == self.trainer.step:
            return
        state = {
            "trainer": self.trainer.state_dict(),
            "skipped": self.skipped,
            "in_a_row": self.in_a_row,
            "validated": self.validated,
            "averages": self.engine.gather_objects(self.averages.state_dict()),
        }
        if self.data is not None:
            state["data"] = self.data.state_dict()
        if unsound := not_finite(state["trainer"]):
            raise Diverged(
                f"{unsound[0]} is not finite after step {self.trainer.step} "
                f"({len(unsound)} tensors), so no checkpoint is written of it; {self.last_good()}"
            )
        if self.engine.first:
            self.checkpoints.save(self.trainer.step, state | {"seconds": self.clock.seconds})
        self.saved = self.trainer.step

    def last_good(self) -> str:
        path = self.checkpoints.find("latest")
        if path is None:
            return "there is no checkpoint yet: start again with a lower learning rate"
        return (
            f"the last good checkpoint is {path}: go on from it with a lower learning rate, or "
            "export it with --export-from"
        )

    def validate(self, validate: Callable[[MetricsLog], None]) -> None:
        """Once a step; a signal breaks it off, but where other processes would wait in it."""
        if self.validated == self.trainer.step:
            return
        self.validated = self.trainer.step
        alone = self.engine.ranks.alone
        done = False
        with self.signals.breakable() if alone else nullcontext():
            if not (alone and self.signals.number):
                validate(self.log)
                done = True
        if not done:  # whoever goes on from here measures it
            self.validated = -1

    def finish(self, validate: Callable[[MetricsLog], None]) -> None:
        """Save and validate the last step, if that has not been done.

        Raises:
            Stopped: a signal has come.
        """
        self.save()
        self.validate(validate)
        self.progress(0, 1)

    def stop(self, number: int) -> NoReturn:
        """End the run after a signal, its state saved first. Raises `Stopped`."""
        name, step = signal.Signals(number).name, self.trainer.step
        if step == 0:
            raise Stopped(number, f"{name} before the first step: nothing to keep, start again")
        if self.saved != step:
            self.log.tell(f"{name}: writing a checkpoint; a second signal ends at once")
        self.save()
        raise Stopped(
            number,
            f"{name} after step {step} of {self.settings.max_train_steps}: "
            f"{self.checkpoints.path(step)} is written; the same command with "
            "--resume-from-checkpoint latest goes on from there",
        )


def loss_of(values: Mapping[str, Any]) -> Any:
    """The loss among a step's values, by the name that a trainer gives it."""
    return values.get("loss", values.get("code_loss"))


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
        Stopped: by SIGINT or SIGTERM, after a checkpoint has been written.
        Diverged: losses or weights are not finite.
    """
    with Run(trainer, settings, engine, source) as run:
        if trainer.step and run.due(settings.validation_steps):
            run.validate(validate)  # where the run was killed before it could
        while (progress := run.progress(trainer.step, settings.max_train_steps)) < 1:
            before_step(progress)
            run.took(trainer.train_step(run.batch(source), progress))
            if run.due(settings.checkpointing_steps):
                run.save()
            if run.due(settings.validation_steps):
                run.validate(validate)
        run.finish(validate)
