"""Edits of a photograph at its own size: the model works on a part, the file has all of it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image

from ufc.conditioning.edits.original_size import Photograph, prepare
from ufc.conditioning.edits.outpainting import extend
from ufc.conditioning.frame import Frame
from ufc.io.png.metadata import describe
from ufc.pipeline import PipelineOutput
from webui.sessions.generating.film import Film
from webui.sessions.generating.generation import (
    GenerationJob,
    hashes_of,
    sampled_here,
    write_png,
)
from webui.sessions.generating.part_view import PartView, kept_blocks
from webui.sessions.generating.worker import Ticket
from webui.sessions.state import Picture


class PhotographJob(GenerationJob):
    """A request with `original_size` on its way to pictures.

    What is marked are blocks of the canvas, which shows the whole photograph in a size that the
    model can see; what is generated are blocks of the part around them.
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        assert self.base is not None
        self.grid = self.base.grid or self.grid

    @cached_property
    def photograph(self) -> Photograph:
        """The photograph with what changes in it; with `outpaint` the larger one."""
        assert self.base is not None
        frames = self.loaded.pipe.frames
        image, mask = self.store.open_picture(self.key, self.base.best), None
        if self.request.outpaint:
            image, mask = extend(image, self.request.outpaint, frames.choose(image.size))
        return prepare(image, mask, self.request.preserve_blocks, frames)

    @cached_property
    def canvas(self) -> Frame:
        """The frame of the whole photograph."""
        return self.loaded.pipe.frames.choose(self.photograph.original.size)

    @cached_property
    def view(self) -> PartView:
        frames, part = self.loaded.pipe.frames, self.photograph.part
        return PartView(self.photograph, self.canvas, frames.choose(part.size))

    @property
    def kept(self) -> tuple[int, ...]:
        """The blocks of the canvas that stay."""
        if self.request.preserve_blocks is not None:
            return self.request.preserve_blocks
        whole = Image.new("L", self.photograph.original.size)
        whole.paste(self.photograph.changed, self.photograph.box[:2])
        return kept_blocks(whole, self.canvas)

    def film(self, ticket: Ticket) -> Film:
        return Film(ticket, self.canvas.grid, self.view)

    def codes_of(self, out: PipelineOutput, index: int) -> list[int]:
        codes = self.loaded.pipe.encode([out.images[index]], self.canvas)
        return list(codes.flatten().tolist())

    def picture(self, out: PipelineOutput, index: int, name: str, group: str) -> Picture:
        picture = super().picture(out, index, name, group)
        return self.of_photograph(picture, out.images[index].size)

    def of_photograph(self, picture: Picture, size: tuple[int, int]) -> Picture:
        """The entry with the photograph's own file and the blocks of the canvas."""
        full = f"originals/{picture.id}.png"
        return replace(
            picture, full=full, size=size, codes=None, grid=self.canvas.grid, kept=self.kept
        )

    def details(self, out: PipelineOutput, index: int, name: str, film: Film) -> dict[str, Any]:
        """What is known of the blocks of the canvas; steps are of the part, and not kept."""
        assert self.base is not None
        before = self.base_details.get("origin") or []
        if len(before) != self.canvas.cells or self.request.outpaint:
            before = [{"picture": self.base.id, "kind": "upload"}] * self.canvas.cells
        stories = self.view.on_canvas(out.provenance[index], None)
        kept = set(self.kept)
        origin: list[Any] = []
        confidence: list[float | None] = []
        for block, story in enumerate(stories):
            if block in kept or story is None or story["kept"]:
                origin.append(before[block])
                confidence.append(None)
            else:
                origin.append(sampled_here(name, out.seeds[index], story))
                confidence.append(story["confidence"])
        return self.told(out, index, origin, confidence) | {"steps": []}

    def audit(self, out: PipelineOutput, index: int, origin: list[Any]) -> dict[str, Any]:
        """Whether every pixel of the photograph outside the changed area is the same."""
        whole = Image.new("L", self.photograph.original.size)
        whole.paste(self.photograph.changed, self.photograph.box[:2])
        kept_HW = np.asarray(whole) == 0
        before, after = (
            np.asarray(image.convert("RGB"))[kept_HW]
            for image in (self.photograph.original, out.images[index])
        )
        same = before.shape == after.shape and bool((before == after).all())
        return {
            "kept": len(self.kept),
            "changed": [] if same else list(self.kept),
            "sha256_before": hashlib.sha256(before.tobytes()).hexdigest()[:12],
            "sha256_after": hashlib.sha256(after.tobytes()).hexdigest()[:12],
            "hard_to_code": [],
        }

    def save(
        self, out: PipelineOutput, index: int, picture: Picture, details: dict[str, Any]
    ) -> None:
        """Write the photograph, with its request in it, and what the canvas shows of it."""
        request, image = self.request_of(out, index), out.images[index]
        hashes = hashes_of(self.store, self.key, request)
        result, curves = self.result(picture, index), out.curves[index]
        metadata = describe(request, result, hashes, image.size, curves=curves)
        assert picture.full is not None
        write_png(self.store, self.key, picture.full, image, metadata)
        write_png(self.store, self.key, picture.file, self.canvas.fit(image), None)
