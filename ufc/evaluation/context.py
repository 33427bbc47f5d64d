"""The work bench of a measurement: a model, its held-out pictures, and the judges, opened once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from estimators.metrics.command_line import Measuring
from estimators.metrics.retrieval import r_precision
from estimators.metrics.sets import Listed, PictureSet, open_set
from ufc.contrastive_scorer import ContrastiveEstimator
from ufc.evaluation.generated_sets import (
    Drawn,
    Plan,
    Progress,
    draw_set,
    fingerprint,
    keep_drawn,
    key_of,
    pictures_of,
)
from ufc.evaluation.judges import Judges, captions_first
from ufc.evaluation.scores import HeldOut, held_out
from ufc.pipeline import UFCPipeline
from vqgan.perceptual import lpips_model

SECONDS_BETWEEN_LINES = 15.0


@dataclass
class Bench:
    """Everything that figures are taken with.

    Attributes:
        folder: where features and drawn pictures are kept; None is nowhere.
        say: tells the person at work how far things are.
    """

    pipeline: UFCPipeline
    judges: Judges
    real: HeldOut
    records: list[dict[str, Any]]
    seed: int
    folder: Path | None
    say: Callable[[str], None]

    @classmethod
    def open(
        cls,
        model: str,
        real: str,
        training: str,
        measuring_at: Callable[[int], Measuring],
        device: str,
        contrastive: str,
        caption_column: str,
        limit: int | None,
        seed: int,
        folder: Path | None,
        say: Callable[[str], None],
    ) -> Bench:
        """Load the model and the judges, and take the features of the real pictures.

        `measuring_at` makes features of pictures shrunk to so many pixels: the model's size.
        """
        pipeline = UFCPipeline.from_pretrained(model, device=device)
        measuring = measuring_at(pipeline.resolution)
        pictures = open_set(real, limit, measuring.reading)
        for note in pictures.notes:
            say(f"{real}: {note}")
        captions = pictures.captions(caption_column)
        say(f"features of {training} ({measuring.extractor.name}, once) …")
        frechet = measuring.extractor.frechet
        judges = Judges(
            measuring,
            measuring.folder_features(training)[:, frechet],
            measuring.features(pictures.samples, pictures.content)[:, frechet],
            ContrastiveEstimator.from_pretrained(contrastive),
            lpips_model("alex"),
        )
        return cls(
            pipeline,
            judges,
            held_out(pipeline, pictures.pictures(), captions),
            [pictures.samples.record(index) for index in range(len(captions))],
            seed,
            folder,
            say,
        )

    @cached_property
    def model_hash(self) -> str:
        """Hash of the model's weights."""
        return fingerprint(self.pipeline)

    def types(self) -> list[str]:
        """What kind of product each held-out picture shows, "" where it is not said."""
        return [str(record.get("type", "")) for record in self.records]

    def draw(self) -> Drawn:
        """One picture for each held-out caption, by the model's default settings."""
        return draw_default(
            self.pipeline, self.real.captions, self.seed, self.folder, self.progress("drawing")
        )

    def pictures(self, drawn: Drawn, rows: Sequence[int] | None = None) -> list[Image.Image]:
        """Drawn pictures, or some of them."""
        codes = drawn.codes_NT if rows is None else drawn.codes_NT[list(rows)]
        return pictures_of(self.pipeline, codes)

    def progress(self, what: str) -> Progress:
        """A function to be told how far something is; says so now and then."""
        return lambda done, total: self.tell(what, done, total)

    def tell(self, what: str, done: int, total: int) -> None:
        """Say how far something is, but not too often."""
        now = time.monotonic()
        last = getattr(self, "_said", 0.0)
        if done >= total or now - last > SECONDS_BETWEEN_LINES:
            self._said = now
            self.say(f"{what}: {done} of {total}")

    def about(self) -> dict[str, Any]:
        """What must be known to repeat the figures."""
        judges = self.judges
        real = captions_first(judges.contrastive, self.real.pictures, self.real.captions)
        return {
            "model": self.pipeline.name,
            "model_hash": self.model_hash,
            "pictures": len(self.real.captions),
            "training_pictures": len(judges.training),
            "recipe": judges.measuring.recipe,
            "contrastive": judges.contrastive.name,
            "r_precision_of_real": r_precision(real)[0],
            "seed": self.seed,
        }


def draw_default(
    pipeline: UFCPipeline,
    captions: Sequence[str],
    seed: int,
    folder: Path | None,
    progress: Progress | None = None,
) -> Drawn:
    """One picture for each caption by the model's default settings, kept in `folder`."""
    plan = Plan(seed=seed).resolved(pipeline.defaults)
    key = key_of(pipeline, captions, plan)
    return keep_drawn(folder, key, lambda: draw_set(pipeline, captions, plan, progress=progress))


def draw_captions(
    pipeline: UFCPipeline,
    captions: list[str],
    column: str,
    seed: int,
    folder: Path | None,
    say: Callable[[str], None],
) -> PictureSet:
    """One picture for each caption, by the model's default settings, as a set to be measured."""
    say(f"drawing {len(captions)} pictures …")
    drawn = draw_default(pipeline, captions, seed, folder)
    records = [{column: caption} for caption in captions]
    samples = Listed(pictures_of(pipeline, drawn.codes_NT), records)
    recipe = {"model": pipeline.name, "model_hash": fingerprint(pipeline), **drawn.recipe}
    return PictureSet(samples, None, "drawn, not stored", recipe)
