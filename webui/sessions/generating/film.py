"""What is seen of a picture while it is generated."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from typing import Any

from PIL import Image
from torch import Tensor

from ufc.conditioning.frame import Grid
from ufc.pipeline import UFCPipeline
from webui.sessions.generating.part_view import PartView
from webui.sessions.generating.worker import Ticket

PREVIEW_EVERY = (
    0.2  # seconds; decoding previews oftener than they are looked at slows the rest down
)


class Film:
    """What was seen of a generation, step by step, in blocks of `grid`; `part` is what the model
    works on where that is no whole picture."""

    def __init__(self, ticket: Ticket, grid: Grid, part: PartView | None = None) -> None:
        self.ticket = ticket
        self.grid = grid
        self.part = part
        self.steps: list[dict[str, Any]] = []
        self.curves: list[dict[str, Any]] = []
        self.previews: list[bytes] = []
        self._last_preview = -1e9

    def watch(self, pipe: UFCPipeline, step: int, timestep: int, now: dict[str, Any]) -> None:
        """Called after each step; stops the pipeline where the visitor asked for it."""
        names = ("codes", "filled_step", "filled_candidate")
        seen = {name: now[name].cpu().clone() for name in names}
        seen["confidence"] = now["confidence"].float().cpu().clone()
        if bool((seen["codes"] < pipe.transformer.config.codes).all()):  # whole: it can be kept
            self.steps.append(seen)
        scores = {name: now[name] for name in ("compliance", "fidelity")}
        if all(values is not None for values in scores.values()):
            self.curves.append(
                {"step": step + 1} | {name: float(values[0]) for name, values in scores.items()}
            )
        if time.monotonic() - self._last_preview >= PREVIEW_EVERY:
            made = now["image"]()
            self.previews = [
                png_bytes(self.part.preview(one) if self.part else one, compress_level=1)
                for one in made
            ]
            self._last_preview = time.monotonic()
        self.ticket.report(
            step + 1,
            grid=self.grid,
            previews=self.previews,
            confidence=[self.doubt(seen, index) for index in range(len(seen["codes"]))],
            curves=list(self.curves),
        )
        if self.ticket.stop.is_set():
            pipe._interrupt = True

    def doubt(self, seen: Mapping[str, Tensor], index: int) -> list[float | None]:
        """The confidence of every block of the canvas after a step."""
        sure = sureness(seen, index)
        return self.part.on_canvas(sure, None) if self.part else sure

    def steps_of(self, index: int) -> list[dict[str, Any]]:
        """Picture `index` after each step, block by block: code, confidence, its step."""
        return [
            {
                "codes": step["codes"][index].tolist(),
                "confidence": sureness(step, index),
                "drawn": step["filled_step"][index].tolist(),
                "candidate": step["filled_candidate"][index].tolist(),
            }
            for step in self.steps
        ]


def sureness(step: Mapping[str, Tensor], index: int) -> list[float | None]:
    """The confidence of every block of a picture after a step; None for those that are kept."""
    pairs = zip(
        step["confidence"][index].tolist(), step["filled_step"][index].tolist(), strict=True
    )
    return [None if drawn < 0 else round(value, 3) for value, drawn in pairs]


def png_bytes(image: Image.Image, compress_level: int = 6) -> bytes:
    """A picture as a PNG, with its colour profile; level 1 is three times as fast."""
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=compress_level)
    return stream.getvalue()
