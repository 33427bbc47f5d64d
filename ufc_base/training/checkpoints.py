"""The checkpoints of a run: written whole, found again, and refused where they are unsound.

A checkpoint is a folder `checkpoint-N` with `trainer.pt`, read back with torch's restricted
loader. It is written beside its place and renamed, so a kill never leaves half of one, and it is
on the disk before an older one goes.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

import torch

from ufc_base.checkpoint import CheckpointError
from ufc_base.files import naming, sync_folder
from ufc_base.formats.pickles import load_tensors, shortly, tensors_of
from ufc_base.training.run_settings import write_settings

STATE = "trainer.pt"
# What a trainer writes at the end, one of them: a part, a model, or an adapter.
FINISHED = ("config.json", "model_index.json", "pytorch_lora_weights.safetensors")


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


class Stateful(Protocol):
    """What a checkpoint can hold."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


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
