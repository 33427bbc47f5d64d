"""What a run says of itself: a line of JSON every few steps, of the means between two lines."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TextIO

from PIL import Image
from torch import Tensor

from ufc_base.entry import write_line
from ufc_base.files import naming, write_atomically
from ufc_base.training.progress_bar import TrainingBar
from ufc_base.training.trackers import Trackers


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
        self.trackers: Trackers | None = None

    def write(self, step: int, **values: Any) -> None:
        if self.quiet:
            return
        row = {"step": step} | {name: plain(value) for name, value in values.items()}
        with naming(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        if self.trackers is not None:
            self.trackers.log(step, row)
        self.tell(" ".join(f"{name} {value}" for name, value in row.items()))

    def pictures(self, step: int, named: Mapping[str, Image.Image]) -> None:
        """Previews, by what they are of, for the trackers alone."""
        if self.trackers is not None:
            self.trackers.pictures(step, named)

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
