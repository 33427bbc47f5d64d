"""The codes that a picture carries in its own file, so that editing it again loses nothing.

They are only believed for the very pixels, and the very codebook, that they were written for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

from PIL import Image

from ufc.io.picture_metadata import read_metadata
from ufc.io.validation import RequestError
from ufc.pipeline import UFCPipeline


def codes_chunk(pipe: UFCPipeline, image: Image.Image, codes: Sequence[int]) -> dict[str, Any]:
    """A picture's codes, row-major, with digests of what they hold for."""
    return {
        "grid": pipe.grid,
        "codes": list(codes),
        "pixels_sha256": hashlib.sha256(image.convert("RGB").tobytes()).hexdigest(),
        "codebook_sha256": codebook_digest(pipe),
    }


def carried_codes(
    pipe: UFCPipeline, image: Image.Image, chunk: Mapping[str, Any] | None
) -> tuple[int, ...] | None:
    """Codes from a picture's `ufc_blocks`; None where there are none, or of something else."""
    codes = (chunk or {}).get("codes")
    if chunk is None or not isinstance(codes, list) or len(codes) != pipe.grid**2:
        return None
    top = pipe.transformer.config.codes
    if not all(type(code) is int and 0 <= code < top for code in codes):
        return None
    same = codes_chunk(pipe, image, codes)
    return tuple(codes) if all(chunk.get(name) == same[name] for name in same) else None


def read_codes(
    pipe: UFCPipeline, path: str | PathLike[str], image: Image.Image
) -> tuple[int, ...] | None:
    """`carried_codes` of the file that `image` was read from."""
    try:
        return carried_codes(pipe, image, read_metadata(path).blocks)
    except RequestError:  # its chunks are damaged; its pixels are not
        return None


def codebook_digest(pipe: UFCPipeline) -> str:
    """Twelve hex digits that change with any vector of the codebook."""
    vectors = pipe.tokenizer.quantize.codebook().detach().float().cpu().contiguous()
    return hashlib.sha256(vectors.numpy().tobytes()).hexdigest()[:12]
