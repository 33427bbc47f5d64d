"""A training's progress bar, for terminals."""

from __future__ import annotations

import math
import time
from typing import Any, TextIO

from ufc_base.visible_text import escaped

BETWEEN = 0.2  # seconds from one change of the bar to the next


class TrainingBar:
    """Steps, samples a second, loss and the time left; lines of the log go above it."""

    def __init__(self, total: int, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._progress = Progress(
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[told]}"),
            console=Console(file=stream),
            auto_refresh=False,  # no thread: data workers are forked
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._progress.add_task("", total=total, told="")
        self._shown = -math.inf
        self._progress.start()

    def reach(self, step: int, rate: float, loss: Any, left: float) -> None:
        """Show a step; `rate` in samples a second, `left` in seconds, `loss` where there is one."""
        now = time.monotonic()
        if now - self._shown < BETWEEN:
            return
        self._shown = now
        told = f"{rate:.3g} samples/s" + ("" if loss is None else f"  loss {float(loss):.4g}")
        told += f"  {clock_time(left)} left"
        self._progress.update(self._task, completed=step, told=told)
        self._progress.refresh()

    def line(self, text: str) -> None:
        """A line above the bar."""
        self._progress.console.print(escaped(text), markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        self._progress.stop()


def open_bar(total: int, stream: TextIO | None) -> TrainingBar | None:
    """A bar, where the stream is a terminal."""
    return TrainingBar(total, stream) if stream is not None and stream.isatty() else None


def clock_time(seconds: float) -> str:
    """`1:02:03` for hours, `2:03` below one, `?` where it is not known."""
    if not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
