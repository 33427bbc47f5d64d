"""Sets of pictures to be measured: what `ufc generate` wrote, or a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from estimators.features import content_hash
from estimators.measuring import file_formats
from ufc.outputs import MANIFEST, read_manifest
from vqgan.data import DataError, Sample, Samples, open_dataset
from vqgan.images import load_image

RECIPE = (
    "model", "order", "num_inference_steps", "num_candidates", "num_drafts",
    "guidance_scale", "temperature", "patience", "compliance_weight", "seed",
)  # fmt: skip


@dataclass(frozen=True)
class PictureSet:
    """Pictures with what is known of them.

    Attributes:
        samples: the pictures and their records.
        content: a hash of all that they are; None where they are kept nowhere.
        formats: how their files are stored; JPEG moves figures.
        recipe: how they were drawn, where that is known.
    """

    samples: Samples
    content: str | None
    formats: str
    recipe: dict[str, Any] = field(default_factory=dict)

    def captions(self, column: str) -> list[str]:
        """The captions of all pictures.

        Raises:
            DataError: a picture has none.
        """
        found = [self.samples.record(index).get(column) for index in range(len(self.samples))]
        missing = sum(not caption for caption in found)
        if missing:
            raise DataError(
                f"{missing} of {len(found)} pictures have no {column!r}, which this figure "
                "needs (choose another --caption-column)"
            )
        return [str(caption) for caption in found]

    def pictures(self) -> list[Image.Image]:
        """All pictures, decoded."""
        return [self.samples[index].image for index in range(len(self.samples))]


class Listed:
    """Pictures in memory, or paths read when asked for, with their records."""

    def __init__(
        self, pictures: Sequence[Image.Image | Path], records: Sequence[dict[str, Any]]
    ) -> None:
        self.pictures, self.records = pictures, records

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


def open_set(path: str | Path, limit: int | None = None) -> PictureSet:
    """A folder that `ufc generate` wrote (its manifest says which pictures count), or a data set.

    Raises:
        DataError: there is nothing to read.
    """
    path = Path(path)
    if (path / MANIFEST).is_file():
        samples, recipe = _drawn(path)
    else:
        samples, recipe = open_dataset(path), {}
    whole = len(samples)
    if limit is not None:
        samples = First(samples, limit)
    content = content_hash(path) + ("" if len(samples) == whole else f" first {len(samples)}")
    return PictureSet(samples, content, file_formats(path), recipe)


def _drawn(folder: Path) -> tuple[Samples, dict[str, Any]]:
    rows = [row for row in read_manifest(folder / MANIFEST).values() if row.get("status") == "done"]
    there = [row for row in rows if (folder / row["file_name"]).is_file()]
    if not there:
        raise DataError(f"{folder}: its {MANIFEST} names no finished picture")
    records = [row | {"text": row.get("prompt"), "text_zh": row.get("prompt")} for row in there]
    recipes = [{name: row[name] for name in RECIPE if name in row} for row in there]
    common = {
        name: value
        for name, value in recipes[0].items()
        if all(recipe.get(name) == value for recipe in recipes)
    }
    seeds = sorted(row["seed"] for row in there if row.get("seed") is not None)
    if seeds:
        common["seed"] = seeds[0] if seeds[0] == seeds[-1] else f"{seeds[0]} to {seeds[-1]}"
    return Listed([folder / row["file_name"] for row in there], records), common
