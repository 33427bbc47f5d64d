"""The flags that measuring programs share, and what they ask for."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated, Literal

from estimators.metrics.extractors.choice import AUTO, fallback_note
from estimators.metrics.extractors.measuring import Measuring
from estimators.metrics.extractors.networks import (
    EXTRACTORS,
    INPUT_SIZE,
    Extractor,
    load_extractor,
)
from ufc_base.data.datasets import Reading
from ufc_base.data.records import MAX_UNREADABLE
from ufc_base.entry import write_line
from ufc_base.program import option
from ufc_base.settings import Fit

Pixels = Annotated[
    int | None, option("Shrink the pictures to this many pixels first.", min=8, max=1024)
]


@dataclass(kw_only=True)
class ExtractorFlags:
    """Which network, with which weights, on which size."""

    extractor: Annotated[
        str,
        option(
            f"{', '.join(EXTRACTORS)}, or package.module:factory (default: inception if its "
            "weights are here, else efficientnet-lite0).",
            metavar="NAME",
        ),
    ] = AUTO
    extractor_weights: Annotated[
        str | None, option("A file of weights, instead of a download.", metavar="FILE")
    ] = None
    input_size: Annotated[
        int | None,
        option(
            f"Pixels that alexnet or vgg16 sees ({INPUT_SIZE}); others have their own.",
            min=8,
            max=1024,
        ),
    ] = None
    device: Annotated[str, option("Where the network runs: auto, cpu or cuda (cpu).")] = "cpu"


@dataclass(kw_only=True)
class MeasuringFlags(ExtractorFlags):
    """How pictures become features."""

    size: Pixels = None
    fit: Annotated[Fit, option("How they get that shape (pad).")] = "pad"
    mode: Annotated[
        Literal["clean", "legacy"], option("Resizing (clean); legacy is not antialiased.")
    ] = "clean"
    pad: Annotated[
        bool, option("Fill up what is not square instead of stretching it.", None, "--pad")
    ] = False
    batch_size: Annotated[
        int | None, option("Pictures a forward pass (32; efficientnet-lite0 4).", min=1)
    ] = None
    num_workers: Annotated[int, option("Threads that resize pictures (0).", min=0)] = 0
    cache_dir: Annotated[str | None, option("Keep features here, by content.")] = None
    image_column: Annotated[
        str | None, option("Which of several pictures of a sample, or the column naming them.")
    ] = None
    max_unreadable: Annotated[
        float,
        option("Share of unreadable pictures that is left out, not refused (0.01).", min=0, max=1),
    ] = MAX_UNREADABLE


def extractor_from(flags: ExtractorFlags) -> Extractor:
    """The extractor that the flags ask for; a line on standard error where none is named."""
    extractor = load_extractor(
        flags.extractor, flags.input_size, weights=flags.extractor_weights, device=flags.device
    )
    if note := fallback_note(flags.extractor, extractor.name):
        write_line(sys.stderr, note)
    return extractor


def measuring_from(flags: MeasuringFlags) -> Measuring:
    """What the flags ask for."""
    return Measuring(
        extractor_from(flags),
        flags.size,
        flags.fit,
        flags.mode,
        flags.pad,
        flags.batch_size,
        flags.num_workers,
        flags.cache_dir,
        reading=Reading(image_column=flags.image_column, max_unreadable=flags.max_unreadable),
    )
