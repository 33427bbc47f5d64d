"""Sets of pictures to features, with all that must be known to repeat them.

What was measured and how goes with every figure (`Measuring.about`), and features are kept by
content, so that a figure is repeated in seconds and never from the wrong pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from estimators.metrics.extractors.features import Features, Size, extract
from estimators.metrics.extractors.networks import Extractor
from estimators.metrics.sets.content import cached
from estimators.metrics.sets.picture_set import PictureSet, open_set
from ufc_base.data.datasets import Reading, Samples
from ufc_base.data.records import USUAL


@dataclass(frozen=True)
class Measuring:
    """How pictures become features.

    Attributes:
        extractor: the network.
        size: shrink pictures to this size first: a square's side, or (height, width).
        fit: how they get its shape: `pad`, `stretch` or `crop`.
        mode: `clean` or `legacy` resizing.
        pad: fill up with white what is not square, instead of stretching it.
        batch_size, num_workers: change the time, not the features.
        cache_dir: where features are kept; None is nowhere.
        on_batch: told how many pictures are done.
        reading: how sets of pictures are read.
    """

    extractor: Extractor
    size: Size | None = None
    fit: str = "pad"
    mode: str = "clean"
    pad: bool = False
    batch_size: int | None = None
    num_workers: int = 0
    cache_dir: str | None = None
    on_batch: Callable[[int], None] | None = None
    reading: Reading = USUAL

    @property
    def recipe(self) -> str:
        """All that features depend on but the pictures, in one line."""
        shrunk = f"shrunk to {size_words(self.size)} px" if self.size else "unshrunk"
        if self.size and self.fit != "pad":
            shrunk += f" ({self.fit})"
        how = "antialiased bicubic" if self.mode == "clean" else "bilinear, not antialiased"
        shape = "padded" if self.pad else "stretched"
        return f"{self.extractor.about}, pictures {shrunk}, {how}, {shape} to a square"

    def features(self, samples: Samples, content: str | None, count: int | None = None) -> Features:
        """Features (N F) of the first `count` pictures of a set, or of all.

        `content` is the hash that they are kept under; None keeps nothing.
        """
        total = len(samples) if count is None else min(count, len(samples))
        key = {
            "content": content,
            "recipe": self.recipe,
            "logits": self.extractor.logits is not None,
            "pictures": total,
        }
        return cached(
            self.cache_dir if content else None,
            key,
            lambda: extract(
                self.extractor,
                (samples[index].image for index in range(total)),
                size=self.size,
                fit=self.fit,
                mode=self.mode,
                pad=self.pad,
                batch_size=self.batch_size,
                num_workers=self.num_workers,
                on_batch=self.on_batch,
            ),
        )

    def folder_features(self, data: str | Path, count: int | None = None) -> Features:
        """Features (N F) of a folder of pictures or of shards."""
        found = open_set(data, reading=self.reading)
        return self.features(found.samples, found.content, count)

    def frechet_features(self, pictures: PictureSet) -> Features:
        """Those features of a set that a Frechet distance is taken of."""
        return self.features(pictures.samples, pictures.content)[:, self.extractor.frechet]

    def about(self, pictures: PictureSet) -> dict[str, Any]:
        """What must be known to repeat a figure of this set."""
        return {
            "recipe": self.recipe,
            "extractor": self.extractor.name,
            "extractor_weights": self.extractor.weights,
            "resize": self.mode,
            "format": pictures.formats,
            "sampler": pictures.recipe,
            "left_out": list(pictures.notes),
        }


def size_words(size: Size) -> str:
    """A size as reports have it: `64`, or `HEIGHT x WIDTH` where it is not square."""
    height, width = (size, size) if isinstance(size, int) else size
    return str(height) if height == width else f"{height} x {width}"
