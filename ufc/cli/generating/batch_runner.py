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
from ufc.conditioning.controls import further_controls
from ufc.conditioning.frame import Frame
from ufc.conditioning.outpainting import extended_size
from ufc.conditioning.sequence import MAX_REFERENCES
from ufc.io.batch_plan import RECIPE, Job
from ufc.io.embedded_tokens import block_record, carried_codes
from ufc.io.inputs import InputFiles, check_inputs, input_digest, located
from ufc.io.manifest import Manifest, save_picture
from ufc.io.png.block_record import Origin
from ufc.io.png.metadata import Metadata, describe, rounded
from ufc.io.validation import RequestError
from ufc.pipeline import PipelineOutput, UFCPipeline
from ufc.request import Request, Result
from ufc.sampling.orders import find_order
from ufc_base.entry import reason

# Errors of the disk rather than of one picture: the next would not be written either.
_DISK_FAILED = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)


def check_jobs(jobs: Sequence[Job], pipe: UFCPipeline, files: InputFiles) -> list[Job]:
    """Find what does not fit the model or cannot be opened, before anything is generated.

    Returns the jobs with the height and width of those edits whose image chose another size than
    the model's own, so that only pictures of one size are generated together.

    Raises:
        RequestError: with the line that it comes from.
    """
    for job in jobs:
        try:
            job.request.check_controls()
            check_references(job.request)
            check_order(job.request, pipe)
            pipe.frames.choose(None, job.request.height, job.request.width)
        except RequestError as error:
            raise RequestError(located(job, str(error))) from None
    frames = check_inputs(jobs, files, lambda request, image: frame_of(pipe, request, image, files))
    shaped = []
    for job, frame in zip(jobs, frames, strict=True):
        try:
            job.request.check_blocks(frame.cells)
        except RequestError as error:
            raise RequestError(located(job, str(error))) from None
        own_shape = job.request.original_size or frame == pipe.frames.default
        shaped.append(job if own_shape else sized(job, frame))
    return shaped


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
    grid = pipe.frames.whole(image.size)
    if grid and request.height is None and request.width is None:
        frame = pipe.frames.of(grid)  # it keeps the shape that it was made in
        if carried_codes(pipe, image, files[request.image].blocks()) is not None:
            return frame
    return pipe.frames.choose(image.size, request.height, request.width)


def sized(job: Job, frame: Frame) -> Job:
    """The job with the height and width of its picture in its request."""
    height, width = frame.size
    return replace(job, request=replace(job.request, height=height, width=width))


def check_references(request: Request) -> None:
    """Raise `RequestError` where there are more references than a model can tell apart."""
    count = len(request.reference_images)
    if count > MAX_REFERENCES:
        raise RequestError(
            f"reference_images: got {count}, wanted {MAX_REFERENCES} at most; leave some out"
        )


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

    def plan(self, groups: Mapping[str, Sequence[Job]]) -> list[dict[str, Any]]:
        """The manifest lines of all pictures before any is generated, by their batches."""
        rows = []
        for group, batch in groups.items():
            for job in batch:
                digest = input_digest(self.files.hashes(job.request))
                rows.append(self.row(job, group, inputs=digest))
        return rows

    def row(self, job: Job, group: str, **outcome: Any) -> dict[str, Any]:
        """The manifest line of a picture, "pending" unless `outcome` says more."""
        request = relative_to(job.request, self.folder)
        return request.to_json() | self.result(job, group, **outcome).to_json()

    def result(self, job: Job, group: str, **outcome: Any) -> Result:
        """What a picture's manifest line says beyond its request."""
        return Result(
            job.file_name,
            seed=job.request.seed,
            index=job.index,
            model=self.loaded.name,
            backend=self.loaded.backend,
            versions=self.loaded.versions,
            group=group,
            **outcome,
        )

    def generate(
        self, batch: Sequence[Job], group: str, wanted: set[str], manifest: Manifest
    ) -> None:
        """Generate a whole batch, write those of its pictures that are `wanted`.

        Where a batch fails, each of its pictures is tried alone; where that fails too, or the
        picture cannot be written, it is marked as failed.

        Raises:
            OSError: the disk is full or fails, or the manifest cannot be written.
        """
        try:
            hashes = [self.files.hashes(job.request) for job in batch]
            out = generate_batch(self.loaded.pipe, batch, self.files, self._on_step(batch, wanted))
        except Exception as error:  # whatever it is, the other pictures are generated
            if len(batch) > 1:
                self.terminal.notice(
                    f"a batch failed ({error}); generating its pictures one by one"
                )
                for number, job in enumerate(batch):
                    if job.file_name in wanted:
                        self.generate([job], f"{group}.{number}", wanted, manifest)
            else:
                self._fail(batch[0], group, error, manifest)
            return
        places = [i for i, job in enumerate(batch) if job.file_name in wanted]
        said = [located(batch[i], notice) for i in places for notice in out.notices[i]]
        for notice in dict.fromkeys(said):  # pictures of one line say the same
            self.terminal.notice(notice)
        for i in places:
            job = batch[i]
            try:
                row = self._write(job, group, out, i, hashes[i])
            except Exception as error:  # as above
                if isinstance(error, OSError) and error.errno in _DISK_FAILED:
                    raise
                self._fail(job, group, error, manifest)
            else:
                manifest.record(row)
                self.generated += 1
                self.terminal.reach(self.generated + self.failed)
                self.terminal.result(f"{self.folder / job.file_name}  {scores(row)}", row)

    def _write(
        self, job: Job, group: str, out: PipelineOutput, i: int, hashes: Mapping[str, str]
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
            metadata = self._metadata(job, out, i, hashes, self.result(job, group, **scored))
        path = self.folder / job.file_name
        save_picture(out.images[i], path, metadata, overwrite=self.overwrite)
        return self.row(
            job,
            group,
            seconds=round(out.seconds / len(out.images), 3),
            inputs=input_digest(hashes),
            notices=tuple(out.notices[i]),
            **scored,
        )

    def _metadata(
        self, job: Job, out: PipelineOutput, i: int, hashes: Mapping[str, str], result: Result
    ) -> Metadata:
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
        if not job.request.original_size:  # its blocks are those of a part of the picture
            codes = out.codes[i].tolist()
            blocks = block_record(self.loaded.pipe, out.images[i], codes, confidence, origins)
        return describe(
            job.request,
            replace(result, model=Path(self.loaded.name).name),
            hashes,
            out.images[i].size,
            curves=out.curves[i],
            blocks=blocks,
        )

    def _fail(self, job: Job, group: str, error: Exception, manifest: Manifest) -> None:
        text = reason(error)
        said = text.replace("\0", "").encode(errors="backslashreplace").decode()
        row = self.row(job, group, status="failed", error=said)
        manifest.record(row)
        self.failed += 1
        self.terminal.reach(self.generated + self.failed)
        self.terminal.error(f"ufc: {located(job, f'{job.file_name} failed: {text}')}")

    def _on_step(self, batch: Sequence[Job], wanted: set[str]) -> Any:
        request, pipe = batch[0].request, self.loaded.pipe
        order = find_order(request.order or pipe.defaults["order"])
        cells = pipe.frames.choose(None, request.height, request.width).cells
        steps = order.steps(request.num_inference_steps or 1, cells)
        share = sum(job.file_name in wanted for job in batch) / steps

        def advance(pipe: UFCPipeline, step: int, timestep: int, state: dict[str, Any]) -> None:
            self.terminal.advance(share)

        return advance


def generate_batch(
    pipe: UFCPipeline, batch: Sequence[Job], files: InputFiles, on_step: Any
) -> PipelineOutput:
    """Hand a batch to the pipeline; the pictures of a batch share a recipe."""
    requests = [job.request for job in batch]
    inputs = [files.load(request) for request in requests]
    codes = [
        own_codes(pipe, request, item.image, files)
        for request, item in zip(requests, inputs, strict=True)
    ]
    recipe = {name: getattr(requests[0], name) for name in RECIPE}
    said: dict[str, Any] = {name: value for name, value in recipe.items() if value is not None}
    said |= {name: [item.further.get(name) for item in inputs] for name in further_controls()}
    return pipe(
        prompt=[request.prompt for request in requests],
        negative_prompt=[request.negative_prompt for request in requests],
        reference_images=[list(item.references) for item in inputs],
        reference_weights=[[r.weight for r in request.reference_images] for request in requests],
        image=[item.image for item in inputs],
        mask_image=[item.mask for item in inputs],
        preserve_blocks=[
            list(request.preserve_blocks) if request.preserve_blocks else None
            for request in requests
        ],
        outpaint=[request.outpaint and list(request.outpaint) for request in requests],
        codes=codes,
        seed=[request.seed or 0 for request in requests],
        callback_on_step_end=on_step,
        **said,
    )


def own_codes(
    pipe: UFCPipeline, request: Request, image: Image.Image | None, files: InputFiles
) -> tuple[int, ...] | None:
    """The codes that an image's file carries, where it is edited in the size that it has."""
    if image is None or request.image is None or request.outpaint:
        return None
    frame = pipe.frames.choose(image.size, request.height, request.width)
    if not frame.holds(image.size):
        return None
    return carried_codes(pipe, image, files[request.image].blocks())


def relative_to(request: Request, folder: Path) -> Request:
    """The request with its paths as seen from the output folder, so that both can be moved."""

    def seen(path: str) -> str:
        try:
            return Path(
                os.path.relpath(os.path.realpath(path), os.path.realpath(folder))
            ).as_posix()
        except ValueError:  # another drive
            return os.path.realpath(path)

    return request.with_paths(seen)


def scores(row: dict[str, Any]) -> str:
    """Compliance, fidelity and time of a manifest line, for people."""
    said = [f"{name} {row[name]:.2f}" for name in ("compliance", "fidelity") if name in row]
    return "  ".join([*said, f"{row['seconds']:.2f} s"])
