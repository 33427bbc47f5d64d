"""Sets of pictures to be measured: what `ufc generate` wrote, or a data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from ufc_base.data.datasets import DataError, DataSet, Reading, Sample, Samples, open_dataset
from ufc_base.data.names import is_picture
from ufc_base.data.records import USUAL, texts_of
from ufc_base.data.samples import is_file
from ufc_base.data.soundness import file_digests
from ufc_base.formats.json_text import load_json
from ufc_base.images import load_image

MANIFEST = "manifest.jsonl"
PARTS = "manifest.part-*.jsonl"  # of processes that died; their pictures count all the same
RECIPE = (
    "model", "weights", "dtype", "lora", "order", "num_inference_steps", "num_candidates",
    "best_of",
    "guidance_scale", "negative_prompt", "temperature", "choice_temperature", "top_k", "top_p",
    "patience", "time_budget", "compliance_weight", "contrastive_weight", "clip_weight",
    "min_compliance", "min_score", "max_attempts", "strength", "height", "width", "upscale",
    "original_size", "feather", "seed",
)  # fmt: skip


@dataclass(frozen=True)
class PictureSet:
    """Pictures with what is known of them.

    Attributes:
        samples: the pictures and their records.
        content: a hash of all that they are; None where they are kept nowhere.
        formats: how their files are stored; JPEG moves figures.
        recipe: how they were generated, where that is known.
        notes: what was left out of the set, in words.
    """

    samples: Samples
    content: str | None
    formats: str
    recipe: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def captions(self, column: str) -> list[str]:
        """The captions of all pictures.

        Raises:
            DataError: a picture has none.
        """
        records = map(self.samples.record, range(len(self.samples)))
        found = [next(iter(texts_of(record.get(column))), "") for record in records]
        missing = found.count("")
        if missing:
            raise DataError(
                f"{missing} of {len(found)} pictures have no {column!r}, which this figure "
                "needs (choose another --caption-column)"
            )
        return found

    def has_captions(self, column: str) -> bool:
        """Whether every picture has one."""
        records = map(self.samples.record, range(len(self.samples)))
        return all(any(texts_of(record.get(column))) for record in records)

    def pictures(self) -> list[Image.Image]:
        """All pictures, decoded."""
        return [self.samples[index].image for index in range(len(self.samples))]


class Listed:
    """Pictures in memory, or paths read when asked for, with their records."""

    def __init__(
        self,
        pictures: Sequence[Image.Image | Path],
        records: Sequence[dict[str, Any]] | None = None,
    ) -> None:
        self.pictures, self.records = pictures, records or [{} for _ in pictures]

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Sample:
        picture = self.pictures[index]
        image = picture if isinstance(picture, Image.Image) else load_image(picture)
        return Sample(str(index), image, self.record(index))

    def record(self, index: int) -> dict[str, Any]:
        return self.records[index]


class First:
    """The first pictures of a set."""

    def __init__(self, samples: Samples, count: int) -> None:
        self.samples, self.count = samples, min(count, len(samples))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        return self.samples[range(self.count)[index]]

    def record(self, index: int) -> dict[str, Any]:
        return self.samples.record(range(self.count)[index])


def open_set(path: str | Path, limit: int | None = None, reading: Reading = USUAL) -> PictureSet:
    """A folder that `ufc generate` wrote (its manifest says which pictures count), or a data set.

    Raises:
        DataError: there is nothing to read, or too much of it is unreadable.
    """
    recipe: dict[str, Any] = {}
    if (Path(path) / MANIFEST).is_file():
        folder = Path(path)
        paths, records = _generated(folder)
        recipe = recipe_of(records)
        files = [*paths, *_manifests(folder)]
        digests = file_digests(files, folder)
        found = DataSet(Listed(paths, records), digests, str(folder), reading)
        places = [paths[index] for index in found.indices]
    else:
        found = open_dataset(path, reading)
        places = found.places
    content, samples = found.content, found if limit is None else First(found, limit)
    if len(samples) < len(found):
        content += f" first {len(samples)}"
    return PictureSet(samples, content, file_formats(places), recipe, tuple(found.said()))


def file_formats(paths: Iterable[Path]) -> str:
    """Suffixes of pictures and shards with their counts, such as `png 394`: JPEG moves figures."""
    suffixes = [path.suffix.lower()[1:] for path in paths]
    found = Counter(suffix for suffix in suffixes if suffix == "tar" or is_picture(suffix))
    return ", ".join(f"{suffix} {count}" for suffix, count in sorted(found.items()))


def _generated(folder: Path) -> tuple[list[Path], list[dict[str, Any]]]:
    """The finished pictures of a run and their manifest lines, with the prompts as captions."""
    rows = [row for row in _manifest_rows(folder) if row.get("status") == "done"]
    there = [row for row in rows if is_file(folder / row["file_name"])]
    if not there:
        raise DataError(f"{folder}: its {MANIFEST} names no finished picture")
    records = [row | {"text": row.get("prompt"), "text_zh": row.get("prompt")} for row in there]
    return [folder / row["file_name"] for row in there], records


def recipe_of(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What manifest lines agree on of how they were generated, and the span of their seeds."""
    settings = [_object(row, "backend") | _object(row, "versions") | row for row in rows]
    for row in settings:
        row.setdefault("best_of", row.get("num_drafts"))  # its name in older manifests
    recipes = [
        {name: row[name] for name in RECIPE if row.get(name) is not None} for row in settings
    ]
    common = {
        name: value
        for name, value in recipes[0].items()
        if all(recipe.get(name) == value for recipe in recipes)
    }
    seeds = sorted(row["seed"] for row in rows if isinstance(row.get("seed"), int))
    if seeds:
        common["seed"] = seeds[0] if seeds[0] == seeds[-1] else f"{seeds[0]} to {seeds[-1]}"
    return common


def _object(row: dict[str, Any], name: str) -> dict[str, Any]:
    value = row.get(name)
    return value if isinstance(value, dict) else {}


def inside(folder: Path, name: object) -> str:
    """The name of a picture of a folder; `DataError` for one that leads out of it."""
    if (
        not isinstance(name, str)
        or "\0" in name
        or ".." in name.split("/")
        or Path(name).is_absolute()
    ):
        raise DataError(f"{folder}: its {MANIFEST} names {name!r:.80}, which is no picture in it")
    return name


def _manifests(folder: Path) -> list[Path]:
    return [folder / MANIFEST, *sorted(folder.glob(PARTS))]


def _manifest_rows(folder: Path) -> list[dict[str, Any]]:
    """The last line of every picture; a line that a kill cut short is passed over."""
    rows: dict[str, dict[str, Any]] = {}
    for path in _manifests(folder):
        lines = path.read_bytes().split(b"\n")
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = load_json(line)
                rows[inside(folder, row["file_name"])] = row
            except (ValueError, KeyError, TypeError) as error:
                if number < len(lines) or isinstance(error, DataError):
                    raise DataError(f"{path}, line {number}: is not a manifest line") from error
    return list(rows.values())
