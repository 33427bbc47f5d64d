"""`ufc edit`: keep parts of an image and regenerate the rest."""

from __future__ import annotations

from ufc.cli.flags import GenerationFlags
from ufc.cli.generating.generate import run_batch
from ufc.conditioning.conditioning import OF_AN_EDIT
from ufc.io.validation import RequestError

HELP = """Keep parts of an image, exactly, and regenerate the rest.

Say what to keep with --mask-image (black is kept) or --preserve-blocks; or keep all of it and add
blocks around it with --outpaint; or change all of it as far as --strength says. With
--original-size the picture comes back at the image's own size, and no pixel but the new ones is
touched. Without it the image is fitted into
the grid of blocks that is nearest to its proportions, or with --height and --width into that size;
a model of squares lays it into its square, white beside it where it is not square. What is kept
equals the fitted image pixel by pixel."""


def run(flags: GenerationFlags) -> int:
    """Carry out the command; returns the exit code."""
    if "image" not in flags.controls:
        raise RequestError("--image: is missing; say which picture to edit")
    said = flags.controls.keys() & set(OF_AN_EDIT) or "strength" in flags.settings
    if not said:
        raise RequestError(
            "give --mask-image or --preserve-blocks, to say what to keep, or --outpaint, or "
            "--strength to change all of it in part"
        )
    return run_batch(flags)
