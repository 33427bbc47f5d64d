"""One batch after another: through the pipeline, onto the disk, into the manifest."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ufc.cli.terminal import Terminal
from ufc.io.inputs import InputFiles, input_digest
from ufc.io.manifest import Manifest, place_inside, save_picture
from ufc.io.png.metadata import rounded
from ufc.pipeline import PipelineOutput, UFCPipeline
from ufc.request import Result, Row
from ufc.requests.checks import opened
from ufc.requests.description import picture_metadata
from ufc.requests.loading import Loaded
from ufc.requests.steps import expected_steps
from ufc.sampling.generation_config import GenerationConfig
from ufc_base.entry import reason

# Errors of the disk rather than of one picture: the next would not be written either.
_DISK_FAILED = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)


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
                told = scores(line)
                self.terminal.result(f"{self.folder / line['file_name']}  {told}", line)

    def write(
        self, row: Row, out: PipelineOutput, i: int, hashes: Mapping[str, str]
    ) -> dict[str, Any]:
        """Write picture `i` of a batch; returns its manifest line."""
        scored: dict[str, Any] = {
            "status": "done",
            "compliance": rounded(out.compliance[i]),
            "fidelity": rounded(out.fidelity[i]),
            "steps": out.steps[i],
        }
        if out.scores:
            scored["scores"] = {name: rounded(of[i]) for name, of in out.scores.items()}
        metadata = None
        if self.with_metadata:
            result = self.result(row.picture, **scored)
            metadata = picture_metadata(self.loaded, row, out, i, hashes, result)
        path = place_inside(self.folder, row.picture.file_name)
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
        share = pictures / expected_steps(config, cells)
        return lambda pipe, step, timestep, state: self.terminal.advance(share)


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


def seen_from(folder: Path, path: str) -> str:
    """A path as seen from the output folder, so that both can be moved."""
    try:
        return Path(os.path.relpath(os.path.realpath(path), os.path.realpath(folder))).as_posix()
    except ValueError:  # another drive
        return os.path.realpath(path)


def scores(line: Mapping[str, Any]) -> str:
    """Scores and time of a manifest line, for people."""
    found = {name: line.get(name) for name in ("compliance", "fidelity")} | line.get("scores", {})
    said = [f"{name} {value:.2f}" for name, value in found.items() if value is not None]
    return "  ".join([*said, f"{line['seconds']:.2f} s"])
