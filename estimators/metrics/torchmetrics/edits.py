"""Edits beside what they were made of: what was kept, and whether the new shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torchmetrics
from PIL import Image
from torch import Tensor

from estimators.metrics.pairs.preservation import exact_rate, seam_ratio
from estimators.metrics.pairs.seams import seam
from estimators.metrics.torchmetrics.pictures import as_image, eight_bits


class MeanOfEdits(torchmetrics.Metric):
    """A mean over edits of what is told of each."""

    is_differentiable = False
    full_state_update = False

    total: Tensor
    count: Tensor

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.add_state("total", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def _add(self, values: Sequence[float | None]) -> None:
        known = [value for value in values if value is not None]
        self.total += sum(known)
        self.count += len(known)

    def compute(self) -> Tensor:
        """The mean; not a number before the first edit that it can be told of."""
        return self.total / self.count


class KeptPixels(MeanOfEdits):
    """Share of kept pixels that came back exactly, 0..1."""

    higher_is_better = True

    def update(self, results: Tensor, bases: Tensor, kept: Tensor) -> None:
        """Results and what was edited, uint8 (B, 3, H, W); which pixels were kept, (B, H, W)."""
        self._add([exact_rate(*one) for one in zip(results, bases, kept, strict=True)])


class SeamRatio(MeanOfEdits):
    """Step of brightness from kept blocks to new ones over that at other blocks; 1 is no seam.

    The mean over edits, where `ufc evaluate controls` has the median.
    """

    higher_is_better = False

    def update(self, results: Tensor, known: Tensor) -> None:
        """Results (B, 3, H, W); which blocks of their grids were kept, bool (B, rows, columns)."""
        self._add([seam_ratio(*one) for one in zip(results, known, strict=True)])


class EditSeam(MeanOfEdits):
    """Step of colour across the border of what was regenerated over steps near it; 1 is no seam.

    Of edits at a photograph's own size, where the border follows pixels and no blocks.
    """

    higher_is_better = False

    def update(self, results: Tensor, changed: Tensor) -> None:
        """Results, uint8 (B, 3, H, W); which pixels were regenerated, bool (B, H, W).

        One of which nothing or everything was is left out: it has no border.

        Raises:
            ValueError: no pictures, or masks of another size.
        """
        taken = eight_bits(results, normalize=False)
        self._add([_seam(*one) for one in zip(taken, changed.bool(), strict=True)])


def _seam(result_CHW: Tensor, changed_HW: Tensor) -> float | None:
    if changed_HW.all() or not changed_HW.any():
        return None
    return seam(as_image(result_CHW), Image.fromarray(changed_HW.byte().cpu().numpy()))
