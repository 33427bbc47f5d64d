"""What an instruction comes to: the role of each slot, what is masked, and what serves it.

A plan names the objective that trains a task and the sampler that carries it out. It knows no
model: whether one has learnt the task is asked where it is run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ufc.tasks.attributes import LEFT, TEXT, rules_for
from ufc.tasks.instruction import Element, Instruction, Slot


@dataclass(frozen=True)
class Part:
    """One element of an instruction in its role.

    Attributes:
        element: the slot or the plain text.
        role: text, reference N, base, picture, masked text, prefix or target.
        encoding: how it reaches the transformer, or leaves it.
        mask: what of it is masked; empty where nothing is.
    """

    element: Element
    role: str
    encoding: str
    mask: str = ""

    @property
    def name(self) -> str:
        """The slot's name; plain text in quotation marks."""
        if isinstance(self.element, Slot):
            return self.element.name
        return f'"{self.element.text.strip()}"'

    @property
    def kind(self) -> str:
        return self.element.kind if isinstance(self.element, Slot) else TEXT

    @property
    def slot(self) -> Slot | None:
        return self.element if isinstance(self.element, Slot) else None


@dataclass(frozen=True)
class Plan:
    """How an instruction is trained and carried out.

    Attributes:
        instruction: what was planned.
        task: the name of its family, one of `FAMILIES`.
        conditioning: parts left of the arrow, in their order.
        targets: parts right of the arrow; the one slot among them is the target.
        objective: name of the training objective, and what its loss is over.
        sampler: what makes the target.
        order: the order of filling that the instruction asks for.
    """

    instruction: Instruction
    task: str
    conditioning: tuple[Part, ...]
    targets: tuple[Part, ...]
    objective: tuple[str, str]
    sampler: str
    order: str | None = None

    @property
    def target(self) -> Slot:
        """What is to be made."""
        return next(part.slot for part in self.targets if part.slot is not None)

    @property
    def base(self) -> Slot | None:
        """The image of which a mask keeps parts."""
        return next((part.slot for part in self.conditioning if part.role == "base"), None)

    @property
    def references(self) -> tuple[Slot, ...]:
        """The images to follow, in their order."""
        parts = (part for part in self.conditioning if part.role.startswith("reference"))
        return tuple(part.slot for part in parts if part.slot is not None)

    def training_only(self) -> list[str]:
        """Attributes that training alone uses, such as "mask_ratio of caption"."""
        return [
            f"{attribute.key} of {slot.name}"
            for slot in self.instruction.given.values()
            for attribute in slot.attributes
            if rules_for(slot.kind, LEFT)[attribute.key].training_only
        ]

    def to_json(self) -> dict[str, Any]:
        """The plan as plain data."""
        return {
            "instruction": str(self.instruction),
            "task": self.task,
            "conditioning": [part_json(part) for part in self.conditioning],
            "targets": [part_json(part) for part in self.targets],
            "objective": {"name": self.objective[0], "over": self.objective[1]},
            "sampler": self.sampler,
            "order": self.order,
            "training_only": self.training_only(),
        }


def part_json(part: Part) -> dict[str, str]:
    data = {"name": part.name, "kind": part.kind, "role": part.role, "encoding": part.encoding}
    return data | ({"mask": part.mask} if part.mask else {})
