"""Instructions of one line, after OFASys, read into frozen dataclasses and written back.

    instruction: sentence -> sentence        sentence: (plain text | slot)+
    slot: [KIND(:name)?(,attribute)*]        attribute: key(=value)?

Left of the arrow stands what is given, right of it what is wanted. The kinds are TEXT, IMAGE, BOX
(blocks of a picture) and CATEGORY (one of a closed set). White space is of no account.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import count

from ufc.io.validation import listed, shortened
from ufc.tasks.attributes import (
    BOX,
    CATEGORY,
    IMAGE,
    LEFT,
    RIGHT,
    TEXT,
    AttributeRule,
    places_of,
    rules_for,
)
from ufc.tasks.errors import InstructionError

KINDS = (TEXT, IMAGE, BOX, CATEGORY)
OTHER_KINDS = ("AUDIO", "VIDEO", "MOTION", "PHONE", "STRUCT")  # those OFASys has beside them
ARROW = "->"
EXAMPLE = "[TEXT:caption] -> [IMAGE:picture]"

_PART = re.compile(r"->|[\[\]]")
_OTHER_ARROW = re.compile(r"[→⇒➔]|=>|－>|-》")
_NAME = re.compile(r"[_A-Za-z0-9]+")
_VALUE = re.compile(r"[_A-Za-z0-9.\-]+")


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


def parse(text: str) -> Instruction:
    """Read an instruction.

    Raises:
        InstructionError: whatever is wrong with it, with the place and the remedy.
    """
    refuse_control_characters(text)
    pieces = list(split(text))
    arrow = the_arrow(text, pieces)
    left = read_side(text, [piece for piece in pieces if piece[0] < arrow], LEFT)
    right = read_side(text, [piece for piece in pieces if piece[0] > arrow], RIGHT)
    if not left:
        raise InstructionError(
            "nothing is given", f"write what is given before {ARROW}, as in {EXAMPLE}", text, arrow
        )
    if not any(isinstance(one, Slot) for one in right):
        raise InstructionError(
            f"no slot stands right of {ARROW}",
            f"say what is wanted, as in {EXAMPLE}",
            text,
            right[0].position if right else len(text),
        )
    instruction = Instruction(left, right, text)
    refuse_other_kind_of_same_name(instruction)
    return instruction


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


def refuse_control_characters(text: str) -> None:
    """Raise `InstructionError` at what is neither text nor white space."""
    for position, character in enumerate(text):
        if unicodedata.category(character) in ("Cc", "Cs") and not character.isspace():
            raise InstructionError(
                f"the character U+{ord(character):04X} is not text", "remove it", text, position
            )


def split(text: str) -> Iterator[tuple[int, str]]:
    """Position and text of each part: plain text, a slot with its brackets, an arrow.

    Raises:
        InstructionError: brackets that do not match.
    """
    position = 0
    while position < len(text):
        mark = _PART.search(text, position)
        start = mark.start() if mark else len(text)
        if start > position:
            yield position, text[position:start]
        if mark is None:
            return
        end = mark.end()
        if mark[0] == "]":
            raise InstructionError("this ] closes nothing", "remove it", text, start)
        if mark[0] == "[":
            close = _PART.search(text, end)
            if close is None or close[0] != "]":
                raise InstructionError(
                    "the slot that begins here has no ]", "close it, as in [TEXT:name]", text, start
                )
            end = close.end()
        yield start, text[start:end]
        position = end


def the_arrow(text: str, pieces: Sequence[tuple[int, str]]) -> int:
    """The position of the one arrow.

    Raises:
        InstructionError: there is none, or more than one.
    """
    arrows = [position for position, piece in pieces if piece == ARROW]
    if len(arrows) > 1:
        raise InstructionError(
            f"this is a second {ARROW}",
            "leave one, between what is given and what is wanted",
            text,
            arrows[1],
            len(ARROW),
        )
    if arrows:
        return arrows[0]
    other = _OTHER_ARROW.search(text)
    raise InstructionError(
        f"there is no {ARROW}",
        f"write it between what is given and what is wanted, as in {EXAMPLE}",
        text,
        other.start() if other else len(text),
        len(other[0]) if other else 1,
    )


def read_side(text: str, pieces: Sequence[tuple[int, str]], side: str) -> tuple[Element, ...]:
    """The elements of one side.

    Raises:
        InstructionError: a slot that cannot be read, or two of one name.
    """
    taken = {name for _, piece in pieces if piece[0] == "[" and (name := slot_name(piece))}
    elements: list[Element] = []
    for number, (position, piece) in enumerate(pieces):
        if piece[0] == "[":
            slot = read_slot(text, position, piece, side, taken)
            if any(isinstance(one, Slot) and one.name == slot.name for one in elements):
                raise InstructionError(
                    f"the name {slot.name} is used twice {side} of {ARROW}",
                    "give each slot of a side a name of its own",
                    text,
                    position,
                    len(piece),
                )
            taken.add(slot.name)
            elements.append(slot)
        elif words := read_words(piece, number == 0, number == len(pieces) - 1):
            start = position + len(piece) - len(piece.lstrip())
            elements.append(Words(words, start))
    return tuple(elements)


def read_words(piece: str, first: bool, last: bool) -> str:
    """Plain text with single spaces, none at the ends of its side; empty if it is all space."""
    words = " ".join(piece.split())
    if words and not first and piece[0].isspace():
        words = " " + words
    return words + " " if words and not last and piece[-1].isspace() else words


def slot_name(piece: str) -> str | None:
    """The name written in a slot, if there is one."""
    head = piece[1:-1].partition(",")[0]
    return head.partition(":")[2].strip() or None


def read_slot(text: str, position: int, piece: str, side: str, taken: set[str]) -> Slot:
    """One slot; `piece` has its brackets, and `taken` the names that are used on its side."""
    parts = list(positioned(piece[1:-1].split(","), position + 1, ","))
    (kind_at, kind), *names = positioned(parts[0][1].split(":"), parts[0][0], ":")
    check_kind(text, kind_at, kind)
    if len(names) > 1:
        raise InstructionError(
            "the slot has a second colon", "write [KIND:name]", text, names[1][0] - 1
        )
    for at, name in names:
        check_word(text, at, name, _NAME, "name", "letters, digits and _, as in [TEXT:caption]")
    name = trimmed(*names[0])[1] if names else free_name(kind.strip().lower(), taken)
    attributes = tuple(read_attributes(text, parts[1:], kind.strip(), side))
    return Slot(kind.strip(), name, attributes, bool(names), position, len(piece))


def positioned(parts: Sequence[str], position: int, separator: str) -> Iterator[tuple[int, str]]:
    """Each part of a split text with its position."""
    for part in parts:
        yield position, part
        position += len(part) + len(separator)


def trimmed(position: int, part: str) -> tuple[int, str]:
    """A part without the white space around it, and its position."""
    return position + len(part) - len(part.lstrip()), part.strip()


def free_name(kind: str, taken: set[str]) -> str:
    """What a slot without a name is called: text, or text2 where another is called that."""
    if kind not in taken:
        return kind
    return next(name for number in count(2) if (name := f"{kind}{number}") not in taken)


def check_kind(text: str, position: int, part: str) -> None:
    """Raise `InstructionError` unless `part` is a kind of slot."""
    at, kind = trimmed(position, part)
    if kind in KINDS:
        return
    if not kind:
        raise InstructionError(
            "the slot has no kind", f"write one of {listed(KINDS)}", text, position
        )
    if kind.upper() in OTHER_KINDS:
        problem = f"{kind.upper()} is a kind of OFASys that is not part of this project"
        remedy = f"the kinds here are {listed(KINDS)}"
    else:
        close = get_close_matches(kind[:40].upper(), KINDS, 1)
        problem = f'"{shortened(kind)}" is no kind of slot'
        remedy = f"did you mean {close[0]}?" if close else f"the kinds are {listed(KINDS)}"
    raise InstructionError(problem, remedy, text, at, len(kind))


def check_word(
    text: str, position: int, part: str, form: re.Pattern[str], what: str, wanted: str
) -> None:
    """Raise `InstructionError` at the first character that a name, key or value may not have."""
    at, word = trimmed(position, part)
    if not word:
        raise InstructionError(f"the {what} is empty", f"write {wanted}", text, position)
    match = form.match(word)
    end = match.end() if match else 0
    if end < len(word):
        raise InstructionError(
            f'"{visible_character(word[end])}" cannot be in a {what}',
            f"use {wanted}",
            text,
            at + end,
        )


def visible_character(character: str) -> str:
    return " " if character.isspace() else character


def read_attributes(
    text: str, parts: Sequence[tuple[int, str]], kind: str, side: str
) -> Iterator[Attribute]:
    """The attributes of a slot, each checked.

    Raises:
        InstructionError: one that is unknown, twice there, on the wrong side or of a wrong value.
    """
    seen: set[str] = set()
    for position, part in parts:
        key, equals, value = part.partition("=")
        check_word(text, position, key, _NAME, "attribute", "key or key=value after a comma")
        at, key = trimmed(position, key)
        rule = find_rule(text, at, key, kind, side)
        if key in seen:
            raise InstructionError(
                f"{key} is there twice", "leave one of them out", text, at, len(key)
            )
        seen.add(key)
        yield Attribute(key, read_value(text, position, part, rule) if equals else None)
        if not equals and (wanted := rule.check(None)):
            raise InstructionError(f"{key} has no value", f"give {wanted}", text, at, len(key))


def find_rule(text: str, position: int, key: str, kind: str, side: str) -> AttributeRule:
    """The rule of an attribute; `InstructionError` where such a slot has none of that name."""
    rules = rules_for(kind, side)
    if key in rules:
        return rules[key]
    places = list(places_of(key))
    slot = f"{kind} {side} of {ARROW}"
    if places:
        problem = f"{slot} takes no {key}"
        remedy = f"it belongs to {listed(places)}; leave it out"
    else:
        close = get_close_matches(key[:40], rules, 1)
        has = f"{slot} takes {listed(rules)}" if rules else f"{slot} takes none; leave it out"
        problem = f'"{shortened(key)}" is no attribute'
        remedy = f"did you mean {close[0]}?" if close else has
    raise InstructionError(problem, remedy, text, position, len(key))


def read_value(text: str, position: int, part: str, rule: AttributeRule) -> str:
    """The value of an attribute; `part` is `key=value`."""
    start = position + part.index("=") + 1
    at, value = trimmed(start, part.partition("=")[2])
    if value:
        check_word(text, at, value, _VALUE, "value", "letters, digits, _, - and .")
    if wanted := rule.check(value):
        raise InstructionError(
            f'{rule.key}: got "{shortened(value)}"',
            f"wanted {wanted}",
            text,
            at if value else start,
            len(value),
        )
    return value


def refuse_other_kind_of_same_name(instruction: Instruction) -> None:
    """Raise `InstructionError` where a name means one kind left and another right."""
    for name, slot in instruction.wanted.items():
        other = instruction.given.get(name)
        if other is not None and other.kind != slot.kind:
            raise instruction.error(
                f"{name} is {other.kind} left of {ARROW} and {slot.kind} right of it",
                "a name on both sides is one thing; give one of them another name",
                slot,
            )
