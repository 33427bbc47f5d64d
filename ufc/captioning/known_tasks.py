"""What a model has learnt beside images: instructions by name, and the answers that there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ufc.tasks.families import make_plan
from ufc.tasks.grammar import parse
from ufc.tasks.plan import Plan
from ufc_base.checkpoint import CheckpointError


@dataclass(frozen=True)
class KnownTasks:
    """`instructions` by the names of tasks; `closed_sets` are the answers by field of the data."""

    instructions: Mapping[str, str] = field(default_factory=dict)
    closed_sets: Mapping[str, list[str]] = field(default_factory=dict)

    def plans(self) -> dict[str, Plan]:
        """A plan for each instruction."""
        return {name: make_plan(parse(text)) for name, text in self.instructions.items()}

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Stored(BaseModel):
    """What `model_index.json` says of them."""

    model_config = ConfigDict(strict=True, extra="ignore")

    instructions: dict[str, str] = {}
    closed_sets: dict[str, list[str]] = {}


def read_tasks(index: Mapping[str, Any]) -> KnownTasks:
    """The tasks of a model's index; none where it says nothing.

    Raises:
        CheckpointError: what it says cannot be read.
    """
    try:
        stored = Stored.model_validate(index.get("tasks") or {})
        known = KnownTasks(stored.instructions, stored.closed_sets)
        known.plans()
    except (ValidationError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise CheckpointError(f"model_index.json: its tasks cannot be read ({first})") from None
    return known
