"""Is each control obeyed, alone and with the others? Every subset of text, reference, kept blocks.

  text       its caption found among 99 others (R-precision), and the judge's chance that it fits
  reference  deep features nearer to the own reference than to a random one
  kept       exact pixels, and the step of brightness where the new begins
  all        whether the left and the right half of the product agree in colour

Every figure is taken for every subset, the empty one too: what a figure is without its control is
its chance level.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from estimators.metrics.fid import frechet_distance, statistics
from estimators.metrics.pairs.halves import halves_agree
from estimators.metrics.pairs.preservation import exact_rate, seam_ratio
from estimators.metrics.pairs.similarity import cosine_to
from estimators.metrics.r_precision import captions_first, r_precision
from estimators.metrics.references.pairing import pair_up
from ufc.evaluation.judges import Judges
from ufc.evaluation.scores import HeldOut
from ufc.pipeline import UFCPipeline
from ufc_base.images import to_tensor

CONTROLS = ("text", "reference", "kept")
BATCH = 32

Side = Literal["top", "bottom", "left", "right"]


@dataclass(frozen=True)
class Task:
    """What may be requested of each picture.

    Attributes:
        captions: of the held-out pictures.
        references: for each, the picture of another product of its type.
        bases: for each, the picture that blocks are kept of: its own.
        known_HW: which blocks of the grid (rows, columns) are kept, a half of them.
    """

    captions: list[str]
    references: list[Image.Image]
    bases: list[Image.Image]
    known_HW: Tensor

    def first(self, count: int) -> Task:
        """The same for the first captions only."""
        return replace(
            self,
            captions=self.captions[:count],
            references=self.references[:count],
            bases=self.bases[:count],
        )


def make_task(
    pipeline: UFCPipeline,
    real: HeldOut,
    types: Sequence[str],
    seed: int = 0,
    kept: Side = "top",
) -> Task:
    """References of the same type, and a half of the own picture to keep."""
    references = [real.fitted[index] for index in pair_up(types, seed)]
    return Task(real.captions, references, real.fitted, kept_half(pipeline.grid_size, kept))


def kept_half(grid: tuple[int, int], side: Side) -> Tensor:
    """The blocks of one half of a grid of (rows, columns), bool; of odd numbers the smaller one."""
    known_HW = torch.zeros(grid, dtype=torch.bool)
    rows, columns = grid[0] // 2, grid[1] // 2
    if side in ("top", "bottom"):
        known_HW[slice(rows) if side == "top" else slice(grid[0] - rows, None)] = True
    else:
        known_HW[:, slice(columns) if side == "left" else slice(grid[1] - columns, None)] = True
    return known_HW


def subsets() -> list[tuple[str, ...]]:
    """All 2^k subsets of the controls, the empty one first."""
    return [c for size in range(len(CONTROLS) + 1) for c in itertools.combinations(CONTROLS, size)]


def control_report(
    pipeline: UFCPipeline,
    judges: Judges,
    task: Task,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    **settings: Any,
) -> list[dict[str, Any]]:
    """A row of figures for each subset of controls; the same seeds in all, the model's settings.

    `settings` are of the pipeline's call, in the place of the model's own.
    """
    rows = []
    references = judges.features(task.references)
    for number, controls in enumerate(subsets()):
        pictures = generate(pipeline, task, controls, seed, **settings)
        features = judges.features(pictures)
        rows.append(
            {"controls": list(controls)}
            | text_figures(judges, pictures, task.captions)
            | reference_figures(features, references)
            | kept_figures(pictures, task)
            | half_figures(pictures, task)
            | {"fd": frechet_distance(statistics(features), judges.training_statistics)}
        )
        if progress is not None:
            progress(number + 1, len(subsets()))
    return rows


def generate(
    pipeline: UFCPipeline, task: Task, controls: Sequence[str], seed: int, **settings: Any
) -> list[Image.Image]:
    """One picture for each caption, under some of the controls."""
    blocks = task.known_HW.flatten().nonzero().flatten().tolist()
    pictures: list[Image.Image] = []
    for start in range(0, len(task.captions), BATCH):
        rows = range(start, min(start + BATCH, len(task.captions)))
        request: dict[str, Any] = {}
        if "text" in controls:
            request["prompt"] = [task.captions[row] for row in rows]
        if "reference" in controls:
            request["reference_images"] = [[task.references[row]] for row in rows]
        if "kept" in controls:
            request["image"] = [task.bases[row] for row in rows]
            request["preserve_blocks"] = [blocks for _ in rows]
        pictures += pipeline(seed=[seed + row for row in rows], **request, **settings).images
    return pictures


def text_figures(
    judges: Judges, pictures: Sequence[Image.Image], captions: Sequence[str]
) -> dict[str, float]:
    """R-precision, and the mean chance that the caption is the picture's own."""
    judge = judges.contrastive
    images, texts = judge.embed_images(pictures), judge.embed_texts(captions)
    return {
        "r_precision": r_precision(captions_first(judge, pictures, captions))[0],
        "text_probability": float(judge.probability(images, texts).mean()),
    }


def reference_figures(
    features: np.ndarray[Any, Any], references: np.ndarray[Any, Any]
) -> dict[str, float]:
    """Mean cosine of deep features to the own reference, to another's, and how often own is nearer.

    Another's is every other reference in turn; nearer counts ties half, so chance is 0.5.
    """
    own = cosine_to(features, references)
    others = np.stack(
        [cosine_to(features, np.roll(references, shift, 0)) for shift in range(1, len(features))]
    )
    nearer = (own > others).mean() + 0.5 * (own == others).mean()
    return {
        "reference_similarity": float(own.mean()),
        "random_similarity": float(others.mean()),
        "reference_nearer": float(nearer),
    }


def kept_figures(pictures: Sequence[Image.Image], task: Task) -> dict[str, float | None]:
    """Exact pixels of the kept blocks, and the seam ratio beside that of untouched pictures."""
    found, base = _uint8(pictures), _uint8(task.bases)
    rows, columns = task.known_HW.shape
    height, width = found.shape[-2] // rows, found.shape[-1] // columns
    kept_HW = task.known_HW.repeat_interleave(height, 0).repeat_interleave(width, 1)
    exact = [exact_rate(a, b, kept_HW) for a, b in zip(found, base, strict=True)]
    return {
        "exact_pixels": float(np.mean(exact)),
        "seam_ratio": _median([seam_ratio(picture, task.known_HW) for picture in found]),
        "seam_ratio_of_real": _median([seam_ratio(picture, task.known_HW) for picture in base]),
    }


def half_figures(pictures: Sequence[Image.Image], task: Task) -> dict[str, float | None]:
    """Share of pictures whose halves agree in colour, beside that of the untouched ones."""
    return {"halves_agree": _share(pictures), "halves_agree_of_real": _share(task.bases)}


def _share(pictures: Sequence[Image.Image]) -> float | None:
    found = [agree for picture in pictures if (agree := halves_agree(picture)) is not None]
    return float(np.mean(found)) if found else None


def _uint8(pictures: Sequence[Image.Image]) -> Tensor:
    return ((to_tensor(pictures) + 1) * 127.5).round().to(torch.uint8)


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def control_table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as Markdown; a figure whose control is given is in bold."""
    lines = [
        "| controls | R-precision | text fits | nearer to its reference | similarity to it / to "
        "others | exact pixels | seam | halves agree | FD |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        present = row["controls"]

        def bold(text: str, control: str, present: list[str] = present) -> str:
            return f"**{text}**" if control in present else text

        seam = "–" if row["seam_ratio"] is None else f"{row['seam_ratio']:.2f}"
        halves = "–" if row["halves_agree"] is None else f"{row['halves_agree']:.3f}"
        similarity = f"{row['reference_similarity']:.3f} / {row['random_similarity']:.3f}"
        cells = [
            " + ".join(present) or "none",
            bold(f"{row['r_precision']:.3f}", "text"),
            bold(f"{row['text_probability']:.3f}", "text"),
            bold(f"{row['reference_nearer']:.3f}", "reference"),
            bold(similarity, "reference"),
            bold(f"{row['exact_pixels']:.3f}", "kept"),
            bold(seam, "kept"),
            halves,
            f"{row['fd']:.2f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    of_real = rows[0]["seam_ratio_of_real"]
    if of_real is not None:
        lines += [
            "",
            f"The seam ratio of the untouched pictures at the same borders: {of_real:.2f}.",
        ]
    halves_of_real = rows[0]["halves_agree_of_real"]
    if halves_of_real is not None:
        lines += ["", f"Halves of the untouched pictures agree in {halves_of_real:.3f}."]
    return "\n".join(lines)
