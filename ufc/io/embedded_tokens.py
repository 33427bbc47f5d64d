"""The codes that a picture carries in its own file, so that editing it again loses nothing.

They are only believed for the very pixels, and the very codebook, that they were written for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image

from ufc.io.png.block_record import BlockRecord, Origin, rounded_confidence
from ufc_base.profiles import foreign_profile
from vqgan.upscaling.model import SCALE

if TYPE_CHECKING:
    from ufc.pipeline import UFCPipeline


def block_record(
    pipe: UFCPipeline,
    image: Image.Image,
    codes: Sequence[int],
    confidence: Sequence[float | None],
    provenance: Sequence[Origin],
) -> BlockRecord:
    """What a picture's file says of its blocks, with digests of what the codes hold for.

    Raises:
        ValueError: the picture is not of so many codes.
    """
    grid = grid_of(pipe, image, len(codes))
    if grid is None:
        raise ValueError(f"a picture of {image.size} pixels has not {len(codes)} blocks")
    return BlockRecord(
        grid,
        tuple(codes),
        pixels_digest(image),
        codebook_digest(pipe),
        rounded_confidence(confidence),
        tuple(provenance),
    )


def carried_codes(
    pipe: UFCPipeline, image: Image.Image, record: BlockRecord | None
) -> tuple[int, ...] | None:
    """Codes of a picture's record; None where there are none, or of something else."""
    if record is None or record.codes is None:
        return None
    if grid_of(pipe, image, len(record.codes)) != record.grid_size:
        return None
    held_for = pixels_digest(image), codebook_digest(pipe)
    if (record.pixels_sha256, record.codebook_sha256) != held_for:
        return None
    return record.codes if max(record.codes) < pipe.transformer.config.codes else None


def grid_of(pipe: UFCPipeline, image: Image.Image, codes: int) -> tuple[int, int] | None:
    """(rows, columns) of a picture of so many codes, as it was decoded or enlarged; else None."""
    for scale in (1, SCALE):
        grid = pipe.frames.whole(image.size, scale)
        if grid is not None and grid[0] * grid[1] == codes:
            return grid
    return None


def pixels_digest(image: Image.Image) -> str:
    """sha256 of a picture's numbers, and of the colour profile that gives them another meaning."""
    digest = hashlib.sha256(image.convert("RGB").tobytes())
    digest.update(foreign_profile(image) or b"")
    return digest.hexdigest()


def codebook_digest(pipe: UFCPipeline) -> str:
    """Twelve hex digits that change with any vector of the codebook."""
    vectors = pipe.tokenizer.quantize.codebook().detach().float().cpu().contiguous()
    return hashlib.sha256(vectors.numpy().tobytes()).hexdigest()[:12]
