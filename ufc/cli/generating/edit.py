"""`ufc edit`: keep parts of an image and regenerate the rest."""

from __future__ import annotations

from ufc.cli.flags import GenerationFlags
from ufc.cli.generating.generate import row_from_flags
from ufc.cli.generating.run import run_batch
from ufc.io.validation import RequestError

HELP = """Keep parts of an image, exactly, and regenerate the rest.

Say what to keep with --mask-image (black is kept) or --preserve-blocks. The image is fitted into
the grid of blocks that is nearest to its proportions, or with --height and --width into that size;
a model of squares lays it into its square, white beside it where it is not square. What is kept
equals the fitted image pixel by pixel."""


def run(flags: GenerationFlags) -> int:
    """Carry out the command; returns the exit code."""
    given = flags.request.conditioning
    if given.image is None:
        raise RequestError("--image: is missing; say which picture to edit")
    if given.mask_image is None and given.preserve_blocks is None:
        raise RequestError("give --mask-image or --preserve-blocks, to say what to keep")
    return run_batch(flags, [row_from_flags(flags)])
