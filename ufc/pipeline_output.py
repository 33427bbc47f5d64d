"""What a pipeline call gives back."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from ufc.conditioning.edits.original_size import restore
from ufc.conditioning.known_tokens import EditCanvas, as_pictures, paste_back, paste_enlarged
from ufc.conditioning.sequence import ControlItem
from ufc.sampling.canvas import Canvas, Refined
from ufc_base.images import to_uint8

OUTPUT_TYPES = ("pil", "np", "pt", "uint8", "latent", "codes")


@dataclass
class PipelineOutput:
    """Pictures and what is known of them; every list has one entry a picture.

    Attributes:
        images: PIL pictures (or arrays, or a tensor, as `output_type` asks). An edit has the
            colours of its image: numbers in its colour profile, which PIL pictures carry.
        compliance: whether the picture obeys its controls, 0..1 (None where it had none).
        fidelity: whether it looks real, 0..1.
        curves: scores after each step that was scored, the last one at least: dicts of `step`,
            `compliance`, `fidelity`, and of further scores by name that were chosen by, where they
            had something to judge.
        confidence: probability of each block's code when it was generated, (B, rows, columns).
        provenance: for each block, row-major: kept, step, candidate, confidence.
        codes: the grids themselves, (B, rows * columns) int64: enough to decode the picture again.
        steps: refinement steps taken.
        seeds: the seed of each picture (None where a generator was given).
        seconds: wall time of the whole call.
        notices: what was changed on a picture's way in (a prompt that was shortened, say), as
            a list of lines for each.
        prompts: the words that each was generated from; see `expand_prompt` of the call.
        scores: those beside compliance and fidelity by name (None where there was nothing to
            judge): `contrastive`, `clip`, `scorer` where they were asked for, and those of further
            estimators of the model.
        decoded: what the codes alone show, (B, 3, H, W) in -1..1 on the CPU: before kept pixels are
            put in, and of the size that the model generates; of an edit at its image's own size the
            part that the model works on.
    """

    images: Any
    compliance: list[float | None]
    fidelity: list[float]
    curves: list[list[dict[str, float]]]
    confidence: np.ndarray[Any, Any]
    provenance: list[list[dict[str, Any]]]
    codes: Tensor
    steps: list[int]
    seeds: list[int | None]
    seconds: float
    notices: list[list[str]]
    prompts: list[str | None] = field(default_factory=list)
    scores: dict[str, list[float | None]] = field(default_factory=dict)
    decoded: Tensor | None = field(default=None, repr=False)

    def __getitem__(self, key: int | slice | str) -> Any:
        """A field by its name, or by its place: `output[0]` are the images."""
        return getattr(self, key) if isinstance(key, str) else self.to_tuple()[key]

    def keys(self) -> list[str]:
        """Names of the fields."""
        return [part.name for part in fields(self)]

    def to_tuple(self) -> tuple[Any, ...]:
        """The fields in their order, images first."""
        return tuple(getattr(self, name) for name in self.keys())


def measured(
    refined: Refined,
    items: Sequence[ControlItem],
    edits: Sequence[EditCanvas],
    grid: tuple[int, int],
) -> dict[str, Any]:
    """The fields of `PipelineOutput` that tell of a refinement of a `grid`."""
    canvas = refined.canvas
    return {
        "compliance": [
            None if item.empty else float(value)
            for item, value in zip(items, canvas.scores["compliance"], strict=True)
        ],
        "fidelity": canvas.scores["fidelity"].tolist(),
        "scores": {
            name: [None if math.isnan(value) else value for value in values.tolist()]
            for name, values in canvas.scores.items()
            if name not in ("compliance", "fidelity")
        },
        "curves": refined.curves,
        "confidence": canvas.confidence.view(-1, *grid).float().cpu().numpy(),
        "provenance": [provenance(canvas, edit, row) for row, edit in enumerate(edits)],
        "codes": canvas.codes.cpu(),
        "steps": refined.steps,
    }


def check_output_type(name: str) -> None:
    """Raise `ValueError` unless `present` knows the name; asked before anything is generated."""
    if name not in OUTPUT_TYPES:
        raise ValueError(f"output_type {name!r} is unknown; choose {', '.join(OUTPUT_TYPES)}")


def present(
    pixels_BCHW: Tensor,
    codes_BT: Tensor,
    edits: Sequence[EditCanvas],
    output_type: str,
    grid: tuple[int, int],
) -> Any:
    """Pictures in the form asked for, one of `OUTPUT_TYPES`; `grid` is that of the codes."""
    if output_type == "pil":
        return as_pictures(pixels_BCHW, edits)
    if output_type == "uint8":
        return to_uint8(pixels_BCHW)
    if output_type in ("np", "pt"):
        shown_BCHW = (pixels_BCHW.float() / 2 + 0.5).clamp(0, 1)
        return shown_BCHW if output_type == "pt" else shown_BCHW.permute(0, 2, 3, 1).numpy()
    return codes_BT.cpu().view(-1, *grid) if output_type == "latent" else codes_BT


Enlarge = Callable[[Tensor], Tensor]


def finished(
    edits: Sequence[EditCanvas], pixels_BCHW: Tensor, feather: int, enlarge: Enlarge | None
) -> Tensor:
    """What was decoded with the kept pixels in it; with `enlarge` in the size that it gives."""
    pasted = paste_back(pixels_BCHW, edits, feather)
    if enlarge is None:
        return pasted
    larger = enlarge(pasted)
    return paste_enlarged(larger, edits, feather * larger.shape[-1] // pasted.shape[-1])


def at_original_size(
    edits: Sequence[EditCanvas],
    pixels_BCHW: Tensor,
    finished_BCHW: Tensor,
    stretch: float,
    feather: int,
    enlarge: Enlarge | None,
) -> list[Image.Image]:
    """Edits in the photographs that they are of, by an upscaler where there is one (`enlarge`);
    pictures without a photograph as they are finished."""
    pictures = as_pictures(finished_BCHW, edits)
    return [
        picture
        if edit.photograph is None
        else restore(edit.photograph, edit, decoded_CHW, stretch, feather, enlarge)
        for picture, edit, decoded_CHW in zip(pictures, edits, pixels_BCHW, strict=True)
    ]


def provenance(canvas: Canvas, edit: EditCanvas, row: int) -> list[dict[str, Any]]:
    """Where each block of a picture came from, row-major.

    Its step and candidate are None where a strength left it its own code.
    """
    return [
        {"kept": True}
        if kept
        else {
            "kept": False,
            "step": None if step < 0 else step,
            "candidate": None if step < 0 else candidate,
            "confidence": round(sure, 4),
        }
        for kept, step, candidate, sure in zip(
            edit.locked_T.tolist(),
            canvas.filled_step[row].tolist(),
            canvas.filled_candidate[row].tolist(),
            canvas.confidence[row].tolist(),
            strict=True,
        )
    ]
