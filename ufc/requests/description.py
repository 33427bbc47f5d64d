"""What a picture says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ufc.io.embedded_tokens import block_record
from ufc.io.png.block_record import sampled_blocks
from ufc.io.png.metadata import Metadata, describe
from ufc.pipeline import PipelineOutput
from ufc.request import Result, Row
from ufc.requests.loading import Loaded


def picture_metadata(
    loaded: Loaded,
    row: Row,
    out: PipelineOutput,
    i: int,
    hashes: Mapping[str, str],
    result: Result,
) -> Metadata:
    """What picture `i` of an output says of itself: its request, its scores, its blocks.

    `hashes` gives the sha256 of every input picture by the path or name that the request has.
    """
    confidence = out.confidence[i].flatten().tolist()
    told = sampled_blocks(out.provenance[i], confidence, out.seeds[i])
    blocks = None
    if not row.request.original_size:  # its blocks are those of a part of the picture
        blocks = block_record(loaded.pipe, out.images[i], out.codes[i].tolist(), *told)
    return describe(
        row.request,
        replace(result, model=Path(loaded.name).name),
        hashes,
        out.images[i].size,
        curves=out.curves[i],
        blocks=blocks,
    )
