"""What every training loop needs: a schedule, averaged weights, what goes on around the steps."""

from __future__ import annotations

import math
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Protocol

import torch
from torch import nn

from ufc_base.data.names import DataError
from ufc_base.settings import LoopSettings
from ufc_base.training.checkpoints import (
    Checkpoints,
    Stateful,
    go_on,
    not_finite,
    refuse_unsound,
)
from ufc_base.training.clock import Clock
from ufc_base.training.metrics_log import Averages, MetricsLog, mean_of
from ufc_base.training.processes import Engine, spread, whole
from ufc_base.training.progress_bar import open_bar
from ufc_base.training.run_settings import told_changes, write_settings
from ufc_base.training.stopping import Diverged, Signals, Stopped
from ufc_base.training.trackers import open_trackers


def learning_rate_scale(
    step: int, warmup_steps: int, progress: float, floor: float = 0.02
) -> float:
    """Linear warm-up, then a cosine from 1 to `floor` as `progress` goes from 0 to 1."""
    warmup = min(1.0, (step + 1) / max(1, warmup_steps))
    return warmup * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def held_rate_scale(step: int, warmup_steps: int, progress: float, start: float) -> float:
    """`learning_rate_scale` whose cosine begins at the share `start` of the run."""
    decay = max(0.0, progress - start) / max(1e-6, 1 - start)
    return learning_rate_scale(step, warmup_steps, decay)


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
    report_to: tuple[str, ...]


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
        if self.engine.first:
            names = self.settings.report_to
            told = vars(self.settings) if names else {}
            folder = Path(self.settings.output_dir)
            self.log.trackers = open_trackers(names, folder, told, self.begun, self.log.tell)
            self.log.bar = open_bar(self.settings.max_train_steps, self.log.stream)
        self.signals.__enter__()
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
        if self.log.trackers is not None:
            self.log.trackers.close()
            self.log.trackers = None
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
