"""The front of every measuring program: its flags, its errors, and sets of pictures to features.

What was measured and how goes with every figure (`Measuring.about`), and features are kept by
content, so that a figure is repeated in seconds and never from the wrong pictures.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from estimators.metrics.extractor_choice import AUTO, fallback_note
from estimators.metrics.extractors import EXTRACTORS, INPUT_SIZE, Extractor, load_extractor
from estimators.metrics.features import MODES, Features, cached, extract
from estimators.metrics.sets import PictureSet, open_set
from ufc_base.data.datasets import Reading, Samples
from ufc_base.data.records import MAX_UNREADABLE, USUAL
from ufc_base.entry import exit_code


@dataclass(frozen=True)
class Measuring:
    """How pictures become features.

    Attributes:
        extractor: the network.
        size: shrink pictures to squares of this many pixels first.
        mode: `clean` or `legacy` resizing.
        pad: fill up with white what is not square, instead of stretching it.
        batch_size, num_workers: change the time, not the features.
        cache_dir: where features are kept; None is nowhere.
        on_batch: told how many pictures are done.
        reading: how sets of pictures are read.
    """

    extractor: Extractor
    size: int | None = None
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
        shrunk = f"shrunk to {self.size} px" if self.size else "unshrunk"
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


def count_warning(count: int, few: int) -> str:
    """A line for a set too small for its Frechet distance to stand by itself, else nothing."""
    if count >= few:
        return ""
    return (
        f"note: under {few} pictures the distance is biased upwards; compare it only "
        "with distances of as many pictures"
    )


def add_measuring_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that `measuring_from` reads."""
    add = parser.add_argument
    add("--size", type=pixels, help="shrink the pictures to this many pixels first")
    add_extractor_flags(parser)
    add("--mode", choices=MODES, default="clean", help="resizing; legacy is not antialiased")
    add("--pad", action="store_true", help="fill up what is not square instead of stretching it")
    add("--batch-size", type=at_least(1), help="pictures a pass (32; efficientnet-lite0 4)")
    add("--num-workers", type=at_least(0), default=0, help="threads that resize pictures (0)")
    add("--device", default="cpu", help="where the network runs: auto, cpu or cuda (cpu)")
    add("--cache-dir", help="keep features here, by content")
    add("--image-column", help="which of several pictures of a sample, or the column naming them")
    add(
        "--max-unreadable",
        type=share,
        default=MAX_UNREADABLE,
        help="share of unreadable pictures that is left out, not refused (0.01)",
    )


def add_extractor_flags(parser: argparse.ArgumentParser) -> None:
    """Which network, with which weights, on which size."""
    parser.add_argument(
        "--extractor",
        default=AUTO,
        metavar="NAME",
        help=f"{', '.join(EXTRACTORS)}, or package.module:factory (default: inception if its "
        "weights are here, else efficientnet-lite0)",
    )
    parser.add_argument("--extractor-weights", help="a file of weights, instead of a download")
    parser.add_argument(
        "--input-size",
        type=pixels,
        help=f"pixels that alexnet or vgg16 sees (default {INPUT_SIZE}); others have their own",
    )


def extractor_from(args: argparse.Namespace) -> Extractor:
    """The extractor that the flags ask for; a line on standard error where none is named."""
    extractor = load_extractor(
        args.extractor,
        args.input_size,
        weights=args.extractor_weights,
        device=getattr(args, "device", "cpu"),
    )
    if note := fallback_note(args.extractor, extractor.name):
        sys.stderr.write(f"{note}\n")
    return extractor


def measuring_from(args: argparse.Namespace) -> Measuring:
    """What the flags of `add_measuring_flags` ask for."""
    return Measuring(
        extractor_from(args),
        args.size,
        args.mode,
        args.pad,
        args.batch_size,
        args.num_workers,
        args.cache_dir,
        reading=Reading(image_column=args.image_column, max_unreadable=args.max_unreadable),
    )


def entry_point(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> int:
    """Run what the arguments ask for and print what it says; exit code: see `ufc_base.entry`."""
    args = parser.parse_args(argv)
    return exit_code(lambda: args.run(args))


def at_least(least: int) -> Callable[[str], int]:
    """A whole number for argparse, from `least` on."""

    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"got {text!r}, wanted a number of {least} or more")
        return int(text)

    return number


def share(text: str) -> float:
    """A share from 0 to 1 for argparse."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted a share from 0 to 1")
    return number


def pixels(text: str) -> int:
    """A side in pixels for argparse."""
    if not text.isdigit() or not 8 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted a number of pixels from 8 to 1024")
    return int(text)
