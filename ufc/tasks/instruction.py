"""An instruction as frozen dataclasses, and how it is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ufc.tasks.attributes import BOX, CATEGORY, IMAGE, TEXT
from ufc.tasks.errors import InstructionError

KINDS = (TEXT, IMAGE, BOX, CATEGORY)
ARROW = "->"


@dataclass(frozen=True)
class Attribute:
    """`key=value` or `key` of a slot; the value as it was written."""

    key: str
    value: str | None = None

    def __str__(self) -> str:
        return self.key if self.value is None else f"{self.key}={self.value}"


@dataclass(frozen=True)
class Slot:
    """Something to be given or made. One without a name is called after its kind.

    Attributes:
        kind: TEXT, IMAGE, BOX or CATEGORY.
        name: unique on its side; on both sides it means the same thing.
        named: whether the name was written.
        position: of its bracket in the instruction, from 0; `length` counts to the other one.
    """

    kind: str
    name: str
    attributes: tuple[Attribute, ...] = ()
    named: bool = True
    position: int = field(default=0, compare=False, repr=False)
    length: int = field(default=1, compare=False, repr=False)

    def __str__(self) -> str:
        head = f"{self.kind}:{self.name}" if self.named else self.kind
        return f"[{','.join([head, *map(str, self.attributes)])}]"

    def has(self, key: str) -> bool:
        """Whether it has an attribute."""
        return any(attribute.key == key for attribute in self.attributes)

    def value(self, key: str) -> str | None:
        """An attribute's value; None where it has none, or is not there."""
        return next((one.value for one in self.attributes if one.key == key), None)


@dataclass(frozen=True)
class Words:
    """Plain text between slots; of the white space around it one space is left, or none."""

    text: str
    position: int = field(default=0, compare=False, repr=False)

    def __str__(self) -> str:
        return self.text


Element = Slot | Words


@dataclass(frozen=True)
class Instruction:
    """What is given (left) and what is wanted (right), in the order in which it was written."""

    left: tuple[Element, ...]
    right: tuple[Element, ...]
    source: str = field(default="", compare=False, repr=False)

    @property
    def given(self) -> dict[str, Slot]:
        """Slots left of the arrow, by name."""
        return {one.name: one for one in self.left if isinstance(one, Slot)}

    @property
    def wanted(self) -> dict[str, Slot]:
        """Slots right of the arrow, by name."""
        return {one.name: one for one in self.right if isinstance(one, Slot)}

    def error(self, problem: str, remedy: str, at: Element) -> InstructionError:
        """An error that points at one of its elements."""
        length = at.length if isinstance(at, Slot) else len(at.text.strip())
        return InstructionError(problem, remedy, self.source, at.position, length)

    def __str__(self) -> str:
        return format_instruction(self)


def format_instruction(instruction: Instruction) -> str:
    """The instruction as one line, which `parse` reads as the same one."""
    return f"{join(instruction.left)} {ARROW} {join(instruction.right)}"


def join(elements: Sequence[Element], write: Callable[[Element], str] = str) -> str:
    """Elements of a sentence, each as `write` has it, with a space between two slots."""
    said = ""
    for number, element in enumerate(elements):
        slots = number > 0 and isinstance(elements[number - 1], Slot) and isinstance(element, Slot)
        said += (" " if slots else "") + write(element)
    return said
