"""The codes that a picture carries in its own file, so that editing it again loses nothing.

They are only believed for the very pixels, and the very codebook, that they were written for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from PIL import Image

from ufc.io.png.block_record import BlockRecord, Origin, rounded_confidence
from ufc.pipeline import UFCPipeline
from ufc_base.profiles import foreign_profile


def block_record(
    pipe: UFCPipeline,
    image: Image.Image,
    codes: Sequence[int],
    confidence: Sequence[float | None],
    provenance: Sequence[Origin],
) -> BlockRecord:
    """What a picture's file says of its blocks, with digests of what the codes hold for."""
    return BlockRecord(
        grid_of(pipe, image),
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
    if not pipe.frames.of(record.grid_size).holds(image.size):
        return None
    held_for = pixels_digest(image), codebook_digest(pipe)
    if (record.pixels_sha256, record.codebook_sha256) != held_for:
        return None
    return record.codes if max(record.codes) < pipe.transformer.config.codes else None


def grid_of(pipe: UFCPipeline, image: Image.Image) -> tuple[int, int]:
    """(rows, columns) of the blocks of a picture that the model made."""
    cell = pipe.frames.cell
    return image.height // cell, image.width // cell


def pixels_digest(image: Image.Image) -> str:
    """sha256 of a picture's numbers, and of the colour profile that gives them another meaning."""
    digest = hashlib.sha256(image.convert("RGB").tobytes())
    digest.update(foreign_profile(image) or b"")
    return digest.hexdigest()


def codebook_digest(pipe: UFCPipeline) -> str:
    """Twelve hex digits that change with any vector of the codebook."""
    vectors = pipe.tokenizer.quantize.codebook().detach().float().cpu().contiguous()
    return hashlib.sha256(vectors.numpy().tobytes()).hexdigest()[:12]
