"""Instructions of one line, after OFASys, read into the dataclasses of `instruction.py`.

    instruction: sentence -> sentence        sentence: (plain text | slot)+
    slot: [KIND(:name)?(,attribute)*]        attribute: key(=value)?

Left of the arrow stands what is given, right of it what is wanted. The kinds are TEXT, IMAGE, BOX
(blocks of a picture) and CATEGORY (one of a closed set). White space is of no account.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from ufc.tasks.attributes import LEFT, RIGHT
from ufc.tasks.errors import InstructionError
from ufc.tasks.instruction import ARROW, Element, Instruction, Slot, Words
from ufc.tasks.slot_reader import read_slot, slot_name

EXAMPLE = "[TEXT:caption] -> [IMAGE:picture]"

_PART = re.compile(r"->|[\[\]]")
_OTHER_ARROW = re.compile(r"[→⇒➔]|=>|－>|-》")


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
