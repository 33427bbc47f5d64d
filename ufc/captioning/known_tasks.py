"""What a model has learnt beside images: instructions by name, and the answers that there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from ufc.tasks.families import make_plan
from ufc.tasks.grammar import parse
from ufc.tasks.plan import Plan
from ufc_base.checkpoint import CheckpointError


@dataclass(frozen=True)
class KnownTasks:
    """`instructions` by the names of tasks; `closed_sets` are the answers by field of the data.

    `domain` are words for what the model's pictures show, by language (`{"en": ["rose"]}`),
    and none where it does not say; in `model_index.json` it has a key of its own.
    """

    instructions: Mapping[str, str] = field(default_factory=dict)
    closed_sets: Mapping[str, list[str]] = field(default_factory=dict)
    domain: Mapping[str, list[str]] = field(default_factory=dict)

    def plans(self) -> dict[str, Plan]:
        """A plan for each instruction."""
        return {name: make_plan(parse(text)) for name, text in self.instructions.items()}

    def to_json(self) -> dict[str, Any]:
        """What is learnt beside images, without the domain."""
        return {name: told for name, told in asdict(self).items() if name != "domain"}


class Stored(BaseModel):
    """What `model_index.json` says of them."""

    model_config = ConfigDict(strict=True, extra="ignore")

    instructions: dict[str, str] = {}
    closed_sets: dict[str, list[str]] = {}


DOMAIN = TypeAdapter(dict[str, list[str]])


def read_tasks(index: Mapping[str, Any]) -> KnownTasks:
    """The tasks of a model's index; none where it says nothing.

    Raises:
        CheckpointError: what it says cannot be read.
    """
    try:
        stored = Stored.model_validate(index.get("tasks") or {})
        domain = DOMAIN.validate_python(index.get("domain") or {}, strict=True)
        known = KnownTasks(stored.instructions, stored.closed_sets, domain)
        known.plans()
    except (ValidationError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise CheckpointError(
            f"model_index.json: its tasks or its domain cannot be read ({first})"
        ) from None
    return known
