"""The training set of a run: opened once, what is known of it said, and what changed since."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ufc_base.data.datasets import DataSet, open_dataset, streamed_shards
from ufc_base.data.names import DataError
from ufc_base.data.records import Reading, has_caption
from ufc_base.data.streams import first_records, shard_name
from ufc_base.files import write_text
from ufc_base.formats.json_text import load_json
from ufc_base.settings import DataSettings, LoopSettings
from ufc_base.training.metrics_log import MetricsLog
from ufc_base.training.processes import Engine

RECORD = "data.json"  # in the output folder: what the run was trained on
FIRST_SAMPLES = 1000  # of a stream, looked at before its first step


def reading_of(settings: DataSettings) -> Reading:
    """How the data of a run are read."""
    return Reading(settings.caption_column, settings.image_column, settings.max_unreadable)


def open_training_set(settings: DataSettings, engine: Engine | None = None) -> DataSet:
    """The training set by index; says on standard error what it is and what changed.

    Raises:
        DataError: it cannot be used.
    """
    if engine is None:
        samples = open_dataset(settings.training_data, reading_of(settings), "train")
    else:
        with engine.first_alone():  # the others find the pictures looked at
            samples = open_dataset(settings.training_data, reading_of(settings), "train")
    if engine is None or engine.first:
        lines = [count_line(len(samples), samples.captioned), *samples.said()]
        lines += changes(Path(settings.output_dir), samples.digests)
        tell(settings, lines)
    return samples


def open_validation_set(settings: DataSettings) -> DataSet:
    """The held-out set of a run that has one.

    Raises:
        DataError: it cannot be used.
    """
    assert settings.held_out_data is not None
    samples = open_dataset(settings.held_out_data, reading_of(settings), "validation")
    tell(settings, [f"held-out data: {line}" for line in samples.said()])
    return samples


def streamed(settings: LoopSettings) -> list[str] | None:
    """The shards that a run reads in passing; None where it reads its set by index.

    Raises:
        DataError: they have to be read otherwise than the settings say.
    """
    asked, data = settings.streaming, settings.training_data
    return streamed_shards(data, reading_of(settings), asked, "train")


def look_at_stream(settings: DataSettings, urls: Sequence[str], engine: Engine) -> int:
    """How many of a stream's first samples have captions; says so, and what changed."""
    records = first_records(urls, FIRST_SAMPLES, reading_of(settings))
    captioned = sum(map(has_caption, records))
    if engine.first:
        files = {shard_name(url): _size(url) for url in urls}
        line = f"the first {count_line(len(records), captioned)}"
        tell(settings, [line, *changes(Path(settings.output_dir), files)])
    return captioned


def count_line(samples: int, captioned: int) -> str:
    """How many samples there are, and how many of them have captions."""
    return f"{samples} samples, {captioned} with captions"


def no_captions(settings: DataSettings, fields: Sequence[str]) -> DataError:
    """Why a run that learns from captions does not begin."""
    named = f"; its fields are {', '.join(map(str, fields))}" if fields else ""
    asked = settings.caption_column or "text"
    return DataError(
        f"{settings.training_data}: no sample has a caption in {asked!r}{named}. Name another "
        "with --caption-column, or give `text` or `caption` in metadata.jsonl, metadata.csv or "
        "metadata.parquet, or ID.txt, ID.caption.txt or ID.json beside each picture"
    )


def changes(folder: Path, files: Mapping[str, str]) -> list[str]:
    """What changed in the files of a run's data since it was last begun; keeps how they are now.

    `files` are digests of them by name. The run's codes are computed anew where it matters.
    """
    record = folder / RECORD
    try:
        before: dict[str, Any] | None = load_json(record.read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        before = None
    if before == files:
        return []
    write_text(record, json.dumps({"files": dict(files)}, indent=0))
    if not isinstance(before, dict):
        return []
    kinds = {
        "changed": [name for name in files if name in before and before[name] != files[name]],
        "added": [name for name in files if name not in before],
        "gone": [name for name in before if name not in files],
    }
    told = [
        f"{len(names)} {kind} ({', '.join(sorted(names)[:3])}{' …' * (len(names) > 3)})"
        for kind, names in kinds.items()
        if names
    ]
    return [f"the data are not those of the run so far: of their files {', '.join(told)}"]


def _size(url: str) -> str:
    path = Path(url)
    return f"{path.stat().st_size} bytes" if path.is_file() else ""


def tell(settings: DataSettings, lines: Sequence[str]) -> None:
    """Say lines on standard error and in the log of a run."""
    log = MetricsLog(settings.output_dir, sys.stderr)
    for line in lines:
        log.tell(line)
