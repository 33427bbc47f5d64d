"""What a training objective is, and the registry that the recipe finds objectives in.

To add one, put a file into this folder with a subclass under `@register_objective` and give it a
weight in the recipe (`objectives: [name=0.5]`, or `ufc train --objectives name=0.5`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from ufc.model.prefix_cache import Prefix
from ufc.model.transformer import UFCTransformer
from ufc.sampling.token_sampling import Prediction
from ufc.training.batches import TrainBatch

if TYPE_CHECKING:
    from ufc.training.config import TrainConfig

Log = dict[str, Any]


@dataclass(frozen=True)
class AuxiliaryStep:
    """What the estimators do in a step: its chance, the same for all processes, and its size."""

    seed: int
    samples: int
    pictures: int


@dataclass(frozen=True)
class CodeLoss:
    """Loss of masked codes, with what other objectives and the log reuse.

    `correct_NK` says of each codebook's code whether it is the likeliest after those before it.
    """

    loss: Tensor
    prediction: Prediction
    correct_NK: Tensor
    prefix: Prefix


@dataclass(frozen=True)
class Shares:
    """A part's shares of what a whole step asks for; None where the step has nothing of a kind.

    Attributes:
        codes: of the masked cells.
        words: of the masked words of what images are made from.
        told: of the words that text tasks ask for.
        boxes: of the samples that ask for blocks.
    """

    codes: float
    words: float | None
    told: float | None
    boxes: float | None


@dataclass(frozen=True)
class Context:
    """A part of a step, for all its objectives.

    Losses are means over a part's masked cells or words; times the part's share they add up to the
    mean over the step. `auxiliary` is there in the part of a step in which estimators learn.
    `progress` is the share of the run that is done.
    """

    model: UFCTransformer
    batch: TrainBatch
    codes: CodeLoss
    shares: Shares
    auxiliary: AuxiliaryStep | None
    progress: float = 0.0


class Objective:
    """A term of the loss. It may keep state, which checkpoints hold."""

    name: str

    def __init__(self, config: TrainConfig, books_KVD: Tensor) -> None:
        self.config = config

    def loss(self, context: Context) -> tuple[Tensor, Log] | None:
        """The term and values for the log; None where there is nothing to learn in this part."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """There is nothing to keep."""

    def to(self, device: torch.device) -> None:
        """Move what is kept as tensors."""


OBJECTIVES: dict[str, type[Objective]] = {}
Kind = TypeVar("Kind", bound=type[Objective])


def register_objective(kind: Kind) -> Kind:
    """Make an objective known by its name."""
    OBJECTIVES[kind.name] = kind
    return kind
