"""One batch after another: through the pipeline, onto the disk, into the manifest."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from ufc.cli.generating.model_choice import Loaded
from ufc.cli.terminal import Terminal
from ufc.conditioning.conditioning import Conditioning
from ufc.conditioning.edits.outpainting import extended_size
from ufc.conditioning.frame import Frame
from ufc.conditioning.sequence import MAX_REFERENCES
from ufc.io.batch_plan import edit_of, with_model_defaults
from ufc.io.embedded_tokens import block_record, carried_codes
from ufc.io.inputs import InputFiles, input_digest
from ufc.io.manifest import Manifest, save_picture
from ufc.io.png.block_record import sampled_blocks
from ufc.io.png.metadata import Metadata, describe, rounded
from ufc.io.validation import RequestError
from ufc.pipeline import PipelineOutput, UFCPipeline
from ufc.request import Request, Result, Row
from ufc.sampling.generation_config import GenerationConfig
from ufc.sampling.orders import find_order
from ufc_base.entry import reason
from ufc_base.images import ImageError

# Errors of the disk rather than of one picture: the next would not be written either.
_DISK_FAILED = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)


def check_rows(rows: Sequence[Row], pipe: UFCPipeline, files: InputFiles) -> list[Row]:
    """Find what does not fit the model or cannot be opened, before anything is generated.

    Returns the rows with all settings, and the height and width of those edits whose image chose
    another size than the model's own, so that only pictures of one size are generated together.

    Raises:
        RequestError: with the line that it comes from.
    """
    frames: dict[object, Frame] = {}  # many pictures have the same files
    checked = []
    for row in rows:
        row = with_model_defaults(row, pipe.defaults)
        request, settings = row.request, row.request.settings
        size = settings.height, settings.width
        try:
            request.check_controls()
            check_order(settings.order, pipe)
            pipe.check_upscale(settings.upscale)
            frame = pipe.frames.choose(None, *size)
            if named := request.conditioning.pictures:
                case = str(named), str(edit_of(request)), size
                frame = frames[case] = frames.get(case) or check_inputs(request, pipe, files)
        except (ImageError, RequestError) as error:
            raise RequestError(row.of(str(error))) from None
        if not settings.original_size and frame != pipe.frames.default:
            row = row.changed(height=frame.size[0], width=frame.size[1])
        checked.append(row)
    return checked


def check_inputs(request: Request, pipe: UFCPipeline, files: InputFiles) -> Frame:
    """Open the files of a request, to find what is wrong with them; the size of its picture.

    Raises:
        ImageError: a file that cannot be used.
        RequestError: more references than a model can tell apart, a size that is none of the
            model's, blocks that are not there, or nothing is left to generate.
    """
    count = len(request.reference_images)
    if count > MAX_REFERENCES:
        raise RequestError(
            f"reference_images: got {count}, wanted {MAX_REFERENCES} at most; leave some out"
        )
    given = files.load(request.conditioning)
    frame = frame_of(pipe, request, given.image, files)
    if given.mask_image is not None and frame.fit_mask(given.mask_image).getbbox() is None:
        raise RequestError(
            f"{request.mask_image}: keeps the whole image, so there is nothing to generate; "
            "paint white what is to be regenerated, or invert the mask"
        )
    request.check_blocks(frame.cells)
    return frame


def frame_of(
    pipe: UFCPipeline, request: Request, image: Image.Image | None, files: InputFiles
) -> Frame:
    """The size of a request's picture; `image` is the one to edit.

    Raises:
        RequestError: a height or width that the model has not.
    """
    if image is None or request.image is None:
        return pipe.frames.choose(None, request.height, request.width)
    if request.outpaint:
        own = pipe.frames.choose(image.size).grid
        size = extended_size(image.size, request.outpaint, own)
        return pipe.frames.choose(size, request.height, request.width)
    if request.height is None and request.width is None:
        record = files[request.image].blocks()
        if record is not None and carried_codes(pipe, image, record) is not None:
            return pipe.frames.of(record.grid_size)  # it keeps the shape that it was made in
    return pipe.frames.choose(image.size, request.height, request.width)


def check_order(order: str, pipe: UFCPipeline) -> None:
    """Raise `RequestError` where the model has not learnt an order."""
    if find_order(order).causal:
        try:
            pipe.transformer.check_autoregressive()
        except ValueError as error:
            raise RequestError(f"order: {error}") from None


class BatchRunner:
    """Generates batches with one model into one folder, and counts what came of them."""

    def __init__(
        self,
        loaded: Loaded,
        folder: Path,
        terminal: Terminal,
        *,
        with_metadata: bool = True,
        overwrite: bool = False,
    ) -> None:
        self.loaded = loaded
        self.folder = folder
        self.terminal = terminal
        self.files = InputFiles()
        self.with_metadata = with_metadata
        self.overwrite = overwrite
        self.generated = 0
        self.failed = 0

    def line(self, row: Row, hashes: Mapping[str, str], **outcome: Any) -> dict[str, Any]:
        """The manifest line of a picture made of files with these hashes, "pending" unless
        `outcome` says more."""
        asked = row.request.to_json(lambda path: seen_from(self.folder, path))
        result = self.result(row.picture, inputs=input_digest(hashes), **outcome)
        return asked | result.to_json()

    def result(self, picture: Result, **outcome: Any) -> Result:
        """What a picture's manifest line says beyond its request."""
        loaded = self.loaded
        return replace(
            picture,
            model=loaded.name,
            backend=loaded.backend,
            versions=loaded.versions,
            **outcome,
        )

    def generate(self, batch: Sequence[Row], wanted: set[str], manifest: Manifest) -> None:
        """Generate a whole batch, write those of its pictures that are `wanted`.

        Where a batch fails, each of its pictures is tried alone; where that fails too, or the
        picture cannot be written, it is marked as failed.

        Raises:
            OSError: the disk is full or fails, or the manifest cannot be written.
        """
        places = [i for i, row in enumerate(batch) if row.picture.file_name in wanted]
        config = batch[0].request.settings
        try:
            hashes = [self.files.hashes(row.request.conditioning.pictures) for row in batch]
            advance = self.on_step(config, len(places))
            out = generate_batch(self.loaded.pipe, batch, self.files, advance)
        except Exception as error:  # whatever it is, the other pictures are generated
            if len(batch) == 1:
                self.fail(batch[0], error, manifest)
                return
            self.terminal.notice(f"a batch failed ({error}); generating its pictures one by one")
            for i in places:
                alone = replace(batch[i].picture, group=f"{batch[i].picture.group}.{i}")
                self.generate([replace(batch[i], result=alone)], wanted, manifest)
            return
        said = [batch[i].of(notice) for i in places for notice in out.notices[i]]
        for notice in dict.fromkeys(said):  # pictures of one line say the same
            self.terminal.notice(notice)
        for i in places:
            try:
                line = self.write(batch[i], out, i, hashes[i])
            except Exception as error:  # as above
                if isinstance(error, OSError) and error.errno in _DISK_FAILED:
                    raise
                self.fail(batch[i], error, manifest)
            else:
                manifest.record(line)
                self.generated += 1
                self.terminal.reach(self.generated + self.failed)
                told = scores(line.get("compliance"), line.get("fidelity"), line["seconds"])
                self.terminal.result(f"{self.folder / line['file_name']}  {told}", line)

    def write(
        self, row: Row, out: PipelineOutput, i: int, hashes: Mapping[str, str]
    ) -> dict[str, Any]:
        """Write picture `i` of a batch; returns its manifest line."""
        scored = {
            "status": "done",
            "compliance": rounded(out.compliance[i]),
            "fidelity": rounded(out.fidelity[i]),
            "steps": out.steps[i],
        }
        metadata = None
        if self.with_metadata:
            result = self.result(row.picture, **scored)
            metadata = picture_metadata(self.loaded, row, out, i, hashes, result)
        path = self.folder / row.picture.file_name
        save_picture(out.images[i], path, metadata, overwrite=self.overwrite)
        return self.line(
            row,
            hashes,
            seconds=round(out.seconds / len(out.images), 3),
            notices=tuple(out.notices[i]),
            **scored,
        )

    def fail(self, row: Row, error: Exception, manifest: Manifest) -> None:
        """Record a picture as failed, and say why."""
        text = reason(error)
        said = text.replace("\0", "").encode(errors="backslashreplace").decode()
        manifest.record(self.line(row, {}, status="failed", error=said))
        self.failed += 1
        self.terminal.reach(self.generated + self.failed)
        self.terminal.error(f"ufc: {row.of(f'{row.picture.file_name} failed: {text}')}")

    def on_step(self, config: GenerationConfig, pictures: int) -> Any:
        """What moves the progress bar by a step of so many pictures."""
        cells = self.loaded.pipe.frames.choose(None, config.height, config.width).cells
        share = pictures / find_order(config.order).steps(config.num_inference_steps, cells)
        return lambda pipe, step, timestep, state: self.terminal.advance(share)


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


def generate_batch(
    pipe: UFCPipeline, batch: Sequence[Row], files: InputFiles, on_step: Any
) -> PipelineOutput:
    """Hand a batch to the pipeline; its pictures have the same settings."""
    return pipe.generate(
        [
            opened(pipe, row.request, files)
            if row.request.conditioning.pictures or row.request.expanded_prompt
            else row.request.conditioning
            for row in batch
        ],
        batch[0].request.settings,
        [row.picture.seed for row in batch],
        callback_on_step_end=on_step,
    )


def opened(pipe: UFCPipeline, request: Request, files: InputFiles) -> Conditioning:
    """A request's conditioning with its files opened, and the codes that the image's file carries,
    where it is edited in the size that it has."""
    given = files.load(request.conditioning)
    if request.expanded_prompt:
        given = given.model_copy(update={"prompt": request.expanded_prompt})
    if given.image is None or given.outpaint:
        return given
    frame = pipe.frames.choose(given.image.size, request.height, request.width)
    record = files[request.image].blocks()
    if record is None or record.grid_size != frame.grid:
        return given
    codes = carried_codes(pipe, given.image, record)
    return given.model_copy(update={"codes": codes})


def seen_from(folder: Path, path: str) -> str:
    """A path as seen from the output folder, so that both can be moved."""
    try:
        return Path(os.path.relpath(os.path.realpath(path), os.path.realpath(folder))).as_posix()
    except ValueError:  # another drive
        return os.path.realpath(path)


def scores(compliance: float | None, fidelity: float | None, seconds: float) -> str:
    """Compliance, fidelity and time of a picture, for people."""
    found = {"compliance": compliance, "fidelity": fidelity}
    said = [f"{name} {value:.2f}" for name, value in found.items() if value is not None]
    return "  ".join([*said, f"{seconds:.2f} s"])
