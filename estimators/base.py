"""What an estimator is: a head on a state of the transformer, labels for it, and its loss.

The transformer computes two states beside its picture: [REL], which sees the conditioning and the
picture, and [FDL], which sees the picture alone. An estimator reads one of them.

To add one, put a file into this folder with a subclass under `@register_estimator` and name it in
a model's config (`estimators`, or `ufc train --estimators`); sampling, manifests and logs carry its
score under its name.

Shapes: N canvases, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

REAL, GENERATED, CORRUPTED = 0, 1, 2
UNASKED = -1


@dataclass(frozen=True)
class Examples:
    """What is known of the canvases that estimators learn from, (N,) each.

    Attributes:
        source: `REAL`, `GENERATED` by the model, or `CORRUPTED`: real with some cells wrong.
        own: the conditioning is the picture's own; another's, or wrong in one thing, otherwise.
        certain: whether that is known to be so (an exchanged one may be equal by chance).
        conditioned: there is any conditioning.
        complete: no cell is masked.
        altered: corrupted cells really differ.
    """

    source: Tensor
    own: Tensor
    certain: Tensor
    conditioned: Tensor
    complete: Tensor
    altered: Tensor

    def of(self, source: int) -> Tensor:
        return self.source == source


class Estimator:
    """A judge of complete pictures; its score is 0..1."""

    name: str
    sees_conditioning: bool  # reads [REL]; else [FDL]

    def head(self, width: int) -> nn.Module:
        """From the state (N, D) to a logit (N, 1)."""
        return nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1))

    def labels(self, examples: Examples) -> Tensor:
        """1 and 0, and `UNASKED` where an example says nothing, (N,) int64."""
        raise NotImplementedError

    def loss(self, logits_N: Tensor, labels_N: Tensor) -> Tensor:
        """Binary cross-entropy over what is asked; 0 if nothing is."""
        asked = labels_N != UNASKED
        logits, labels = logits_N[asked].float(), labels_N[asked].float()
        summed = F.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
        return summed / max(1, len(labels))  # a small share of a batch may have nothing to ask

    def accuracy(self, logits_N: Tensor, labels_N: Tensor) -> float | None:
        """Share of what is asked that falls on the right side; None if nothing is."""
        asked = labels_N != UNASKED
        if not asked.any():
            return None
        return float(((logits_N[asked] > 0) == (labels_N[asked] > 0.5)).float().mean())


ESTIMATORS: dict[str, Estimator] = {}
Kind = TypeVar("Kind", bound=type[Estimator])


def register_estimator(kind: Kind) -> Kind:
    """Make an estimator known by its name."""
    ESTIMATORS[kind.name] = kind()
    return kind


def label_where(yes: Tensor, no: Tensor) -> Tensor:
    """1, 0 and `UNASKED`, (N,) int64, from two masks that exclude each other."""
    labels = torch.full(yes.shape, UNASKED, dtype=torch.int64, device=yes.device)
    return labels.masked_fill(yes, 1).masked_fill(no, 0)
