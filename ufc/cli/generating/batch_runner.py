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
from ufc.io.batch_plan import batch_settings, edit_of
from ufc.io.embedded_tokens import block_record, carried_codes
from ufc.io.inputs import InputFiles, input_digest
from ufc.io.manifest import Manifest, save_picture
from ufc.io.png.block_record import Origin
from ufc.io.png.metadata import Metadata, describe, rounded
from ufc.io.validation import RequestError
from ufc.pipeline import PipelineOutput, UFCPipeline
from ufc.request import Request, Result, Row
from ufc.sampling.orders import find_order
from ufc_base.entry import reason
from ufc_base.images import ImageError

# Errors of the disk rather than of one picture: the next would not be written either.
_DISK_FAILED = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)


def check_rows(rows: Sequence[Row], pipe: UFCPipeline, files: InputFiles) -> list[Row]:
    """Find what does not fit the model or cannot be opened, before anything is generated.

    Returns the rows with the height and width of those edits whose image chose another size than
    the model's own, so that only pictures of one size are generated together.

    Raises:
        RequestError: with the line that it comes from.
    """
    frames: dict[object, Frame] = {}  # many pictures have the same files
    shaped = []
    for row in rows:
        request = row.request
        case = (
            tuple(request.conditioning.paths),
            str(edit_of(request)),
            request.height,
            request.width,
        )
        try:
            request.check_controls()
            check_order(request, pipe)
            pipe.check_upscale(request.upscale)
            if case not in frames:
                frames[case] = check_inputs(request, pipe, files)
        except (ImageError, RequestError) as error:
            raise RequestError(row.of(str(error))) from None
        height, width = frames[case].size
        own_shape = request.original_size or frames[case] == pipe.frames.default
        shaped.append(row if own_shape else row.changed(height=height, width=width))
    return shaped


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
    pipe.frames.choose(None, request.height, request.width)
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


def check_order(request: Request, pipe: UFCPipeline) -> None:
    """Raise `RequestError` where the model has not learnt the request's order."""
    if find_order(request.order or pipe.defaults["order"]).causal:
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
        files: InputFiles,
        *,
        with_metadata: bool = True,
        overwrite: bool = False,
    ) -> None:
        self.loaded = loaded
        self.folder = folder
        self.terminal = terminal
        self.files = files
        self.with_metadata = with_metadata
        self.overwrite = overwrite
        self.generated = 0
        self.failed = 0

    def plan(self, groups: Mapping[str, Sequence[Row]]) -> list[dict[str, Any]]:
        """The manifest lines of all pictures before any is generated, by their batches."""
        rows = []
        for group, batch in groups.items():
            for row in batch:
                digest = input_digest(self.files.hashes(row.request.conditioning))
                rows.append(self.line(row, group, inputs=digest))
        return rows

    def line(self, row: Row, group: str, **outcome: Any) -> dict[str, Any]:
        """The manifest line of a picture, "pending" unless `outcome` says more."""
        request = row.request.with_pictures(lambda path: seen_from(self.folder, path))
        return request.to_json() | self.result(row, group, **outcome).to_json()

    def result(self, row: Row, group: str, **outcome: Any) -> Result:
        """What a picture's manifest line says beyond its request."""
        loaded = self.loaded
        return replace(
            row.picture,
            group=group,
            model=loaded.name,
            backend=loaded.backend,
            versions=loaded.versions,
            **outcome,
        )

    def generate(
        self, batch: Sequence[Row], group: str, wanted: set[str], manifest: Manifest
    ) -> None:
        """Generate a whole batch, write those of its pictures that are `wanted`.

        Where a batch fails, each of its pictures is tried alone; where that fails too, or the
        picture cannot be written, it is marked as failed.

        Raises:
            OSError: the disk is full or fails, or the manifest cannot be written.
        """
        try:
            hashes = [self.files.hashes(row.request.conditioning) for row in batch]
            out = generate_batch(self.loaded.pipe, batch, self.files, self._on_step(batch, wanted))
        except Exception as error:  # whatever it is, the other pictures are generated
            if len(batch) > 1:
                self.terminal.notice(
                    f"a batch failed ({error}); generating its pictures one by one"
                )
                for number, row in enumerate(batch):
                    if row.file_name in wanted:
                        self.generate([row], f"{group}.{number}", wanted, manifest)
            else:
                self._fail(batch[0], group, error, manifest)
            return
        places = [i for i, row in enumerate(batch) if row.file_name in wanted]
        said = [batch[i].of(notice) for i in places for notice in out.notices[i]]
        for notice in dict.fromkeys(said):  # pictures of one line say the same
            self.terminal.notice(notice)
        for i in places:
            row = batch[i]
            try:
                line = self._write(row, group, out, i, hashes[i])
            except Exception as error:  # as above
                if isinstance(error, OSError) and error.errno in _DISK_FAILED:
                    raise
                self._fail(row, group, error, manifest)
            else:
                manifest.record(line)
                self.generated += 1
                self.terminal.reach(self.generated + self.failed)
                self.terminal.result(f"{self.folder / row.file_name}  {scores(line)}", line)

    def _write(
        self, row: Row, group: str, out: PipelineOutput, i: int, hashes: Mapping[str, str]
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
            result = self.result(row, group, **scored)
            metadata = picture_metadata(self.loaded, row, out, i, hashes, result)
        path = self.folder / row.file_name
        save_picture(out.images[i], path, metadata, overwrite=self.overwrite)
        return self.line(
            row,
            group,
            seconds=round(out.seconds / len(out.images), 3),
            inputs=input_digest(hashes),
            notices=tuple(out.notices[i]),
            **scored,
        )

    def _fail(self, row: Row, group: str, error: Exception, manifest: Manifest) -> None:
        text = reason(error)
        said = text.replace("\0", "").encode(errors="backslashreplace").decode()
        manifest.record(self.line(row, group, status="failed", error=said))
        self.failed += 1
        self.terminal.reach(self.generated + self.failed)
        self.terminal.error(f"ufc: {row.of(f'{row.file_name} failed: {text}')}")

    def _on_step(self, batch: Sequence[Row], wanted: set[str]) -> Any:
        request, pipe = batch[0].request, self.loaded.pipe
        order = find_order(request.order or pipe.defaults["order"])
        cells = pipe.frames.choose(None, request.height, request.width).cells
        steps = order.steps(request.num_inference_steps or 1, cells)
        share = sum(row.file_name in wanted for row in batch) / steps

        def advance(pipe: UFCPipeline, step: int, timestep: int, state: dict[str, Any]) -> None:
            self.terminal.advance(share)

        return advance


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
    origins = [
        Origin(True)
        if story["kept"]
        else Origin(False, story["step"], story["candidate"], out.seeds[i])
        for story in out.provenance[i]
    ]
    confidence = [
        None if origin.kept else sure
        for origin, sure in zip(origins, out.confidence[i].flatten().tolist(), strict=True)
    ]
    blocks = None
    if not row.request.original_size:  # its blocks are those of a part of the picture
        codes = out.codes[i].tolist()
        blocks = block_record(loaded.pipe, out.images[i], codes, confidence, origins)
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
    requests = [row.request for row in batch]
    return pipe(
        conditioning=[opened(pipe, request, files) for request in requests],
        seed=[request.seed or 0 for request in requests],
        callback_on_step_end=on_step,
        **batch_settings(requests[0]),
    )


def opened(pipe: UFCPipeline, request: Request, files: InputFiles) -> Conditioning:
    """A request's conditioning with its files opened, and the codes that the image's file carries,
    where it is edited in the size that it has."""
    given = files.load(request.conditioning)
    if request.expanded_prompt:
        given = Conditioning(**given.explicit() | {"prompt": request.used_prompt})
    if given.image is None or given.outpaint:
        return given
    frame = pipe.frames.choose(given.image.size, request.height, request.width)
    record = files[request.image].blocks()
    if record is None or record.grid_size != frame.grid:
        return given
    codes = carried_codes(pipe, given.image, record)
    return Conditioning(**given.present() | {"codes": codes})


def seen_from(folder: Path, path: str) -> str:
    """A path as seen from the output folder, so that both can be moved."""
    try:
        return Path(os.path.relpath(os.path.realpath(path), os.path.realpath(folder))).as_posix()
    except ValueError:  # another drive
        return os.path.realpath(path)


def scores(line: dict[str, Any]) -> str:
    """Compliance, fidelity and time of a manifest line, for people."""
    said = [f"{name} {line[name]:.2f}" for name in ("compliance", "fidelity") if name in line]
    return "  ".join([*said, f"{line['seconds']:.2f} s"])
