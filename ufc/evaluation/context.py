"""What figures are taken with: a model, its held-out pictures, and the judges, opened once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from estimators.metrics.extractors.measuring import Measuring
from estimators.metrics.r_precision import captions_first, r_precision
from estimators.metrics.sets.picture_set import Listed, PictureSet, open_set
from ufc.contrastive_scorer import ContrastiveEstimator
from ufc.evaluation.generated_sets import (
    GeneratedSet,
    Plan,
    Progress,
    fingerprint,
    generate_kept,
    pictures_of,
)
from ufc.evaluation.judges import Judges
from ufc.evaluation.scores import HeldOut, held_out
from ufc.pipeline import UFCPipeline
from vqgan.model import VQGANConfig
from vqgan.perceptual import lpips_model

SECONDS_BETWEEN_LINES = 15.0


@dataclass
class Context:
    """Everything that figures are taken with.

    Attributes:
        folder: where features and generated pictures are kept; None is nowhere.
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
        measuring_at: Callable[[VQGANConfig], Measuring],
        device: str,
        contrastive: str,
        caption_column: str,
        limit: int | None,
        seed: int,
        folder: Path | None,
        say: Callable[[str], None],
    ) -> Context:
        """Load the model and the judges, and take the features of the real pictures.

        `measuring_at` makes features of pictures as the model's tokenizer sees them.
        """
        pipeline = UFCPipeline.from_pretrained(model, device=device)
        pipeline.set_progress_bar_config(disable=True)
        measuring = measuring_at(pipeline.tokenizer.config)
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
            held_out(pipeline, pictures.pictures(), captions, measuring.fit),
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

    def generate(self) -> GeneratedSet:
        """One picture for each held-out caption, by the model's default settings."""
        plan, tell = Plan.of(seed=self.seed), self.progress("generating")
        return generate_kept(self.pipeline, self.real.captions, plan, self.folder, tell)

    def pictures(
        self, generated: GeneratedSet, rows: Sequence[int] | None = None
    ) -> list[Image.Image]:
        """Generated pictures, or some of them."""
        codes = generated.codes_NT if rows is None else generated.codes_NT[list(rows)]
        return pictures_of(self.pipeline, codes)

    def progress(self, what: str) -> Progress:
        """A function to be told how far something is; says so now and then."""
        return lambda done, total: self.tell(what, done, total)

    def tell(self, what: str, done: int, total: int) -> None:
        """Say how far something is, but not too often."""
        now = time.monotonic()
        last = getattr(self, "_told", 0.0)
        if done >= total or now - last > SECONDS_BETWEEN_LINES:
            self._told = now
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


def generate_pictures(
    pipeline: UFCPipeline,
    captions: list[str],
    column: str,
    seed: int,
    folder: Path | None,
    say: Callable[[str], None],
) -> PictureSet:
    """One picture for each caption, by the model's default settings, as a set to be measured."""
    say(f"generating {len(captions)} pictures …")
    found = generate_kept(pipeline, captions, Plan.of(seed=seed), folder)
    records = [{column: caption} for caption in captions]
    samples = Listed(pictures_of(pipeline, found.codes_NT), records)
    recipe = {"model": pipeline.name, "model_hash": fingerprint(pipeline), **found.recipe}
    return PictureSet(samples, None, "generated, not stored", recipe)
