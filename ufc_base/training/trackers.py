"""Trackers that a run reports to beside its own log: TensorBoard, Weights & Biases, Trackio.

They are accelerate's. What a tracker has to say against it ends no training: it is told once, and
the run goes on without that one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ufc_base.extras import EXTRA_OF, UnavailableError, how_to_install

PROJECT = "ufc-bert"
Tell = Callable[[str], None]


class Trackers:
    """The trackers of one run, by name."""

    def __init__(self, trackers: Mapping[str, Any], tell: Tell) -> None:
        self.trackers = dict(trackers)
        self.tell = tell

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """The numbers among a step's values."""
        numbers = {
            name: value
            for name, value in values.items()
            if isinstance(value, int | float) and not isinstance(value, bool) and name != "step"
        }
        self._each(lambda _, tracker: tracker.log(numbers, step=step))

    def pictures(self, step: int, named: Mapping[str, Image.Image]) -> None:
        """A step's previews, by what they are of."""
        self._each(lambda name, tracker: log_pictures(name, tracker, step, named))

    def close(self) -> None:
        """Write what is left to be written."""
        self._each(lambda _, tracker: tracker.finish())
        self.trackers.clear()

    def _each(self, do: Callable[[str, Any], None]) -> None:
        for name, tracker in list(self.trackers.items()):
            try:
                do(name, tracker)
            except Exception as error:  # of any kind: networks, disks, services
                del self.trackers[name]
                self.tell(f"{name} is left out from here: {type(error).__name__}: {error!s:.200}")


def log_pictures(name: str, tracker: Any, step: int, named: Mapping[str, Image.Image]) -> None:
    """Pictures in the form that a tracker takes."""
    if name == "trackio":
        import trackio

        images = {key: trackio.Image(np.asarray(one), caption=key) for key, one in named.items()}
        tracker.log(images, step=step)
        return
    batches = {key: np.asarray(picture)[None] for key, picture in named.items()}
    more = {"dataformats": "NHWC"} if name == "tensorboard" else {}
    tracker.log_images(batches, step=step, **more)


def open_trackers(
    names: Sequence[str], folder: Path, settings: Mapping[str, Any], begun: int, tell: Tell
) -> Trackers | None:
    """The trackers of these names, at work; None where there are none.

    Args:
        names: of `ufc_base.settings.TRACKERS`.
        folder: the run's, which gives it its name; TensorBoard writes into `tensorboard/` of it.
        settings: what is kept of the run's settings.
        begun: the step that the run goes on from; what TensorBoard has of later ones goes.
        tell: says a line to whoever watches.

    Raises:
        UnavailableError: one is not installed.
    """
    if not names:
        return None
    check_installed(names)
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    made = {}
    for name in dict.fromkeys(names):
        kind = LOGGER_TYPE_TO_CLASS[name]
        if name == "tensorboard":
            tracker = kind("tensorboard", str(folder), purge_step=begun + 1 if begun else None)
        else:
            place = {"dir": str(folder)} if name == "wandb" else {}
            tracker = kind(PROJECT, name=folder.resolve().name, **place)
        if hasattr(tracker, "start"):
            tracker.start()
        if name != "tensorboard":  # which makes another run of them
            tracker.store_init_configuration(
                {key: value if is_plain(value) else str(value) for key, value in settings.items()}
            )
        made[name] = tracker
    return Trackers(made, tell)


def check_installed(names: Sequence[str]) -> None:
    """Raise `UnavailableError` for a tracker that is not installed."""
    for name in names:
        if find_spec(name) is None:
            how = how_to_install(EXTRA_OF[name]) if name in EXTRA_OF else f"pip install {name}"
            raise UnavailableError(f"report_to: {name} is not installed: {how}")


def is_plain(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def preview_name(number: int, prompt: str) -> str:
    """What a preview is called in a tracker: its number and the words' beginning."""
    words = re.sub(r"[^\w-]+", "-", prompt).strip("-")[:60]
    return f"previews/{number}-{words}"
