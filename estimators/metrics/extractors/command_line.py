"""The flags and errors of the measuring programs that are run as modules."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from estimators.metrics.extractors.choice import AUTO, fallback_note
from estimators.metrics.extractors.features import MODES
from estimators.metrics.extractors.measuring import Measuring
from estimators.metrics.extractors.networks import (
    EXTRACTORS,
    INPUT_SIZE,
    Extractor,
    load_extractor,
)
from ufc_base.data.datasets import Reading
from ufc_base.data.records import MAX_UNREADABLE
from ufc_base.entry import exit_code
from ufc_base.settings import FITS


def add_measuring_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that `measuring_from` reads."""
    add = parser.add_argument
    add("--size", type=pixels, help="shrink the pictures to this many pixels first")
    add("--fit", choices=FITS, default="pad", help="how they get that shape (pad)")
    add_extractor_flags(parser)
    add("--mode", choices=MODES, default="clean", help="resizing; legacy is not antialiased")
    add("--pad", action="store_true", help="fill up what is not square instead of stretching it")
    add("--batch-size", type=at_least(1), help="pictures a forward pass (32; efficientnet-lite0 4)")
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
        args.fit,
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
