"""What is given for the slots of an instruction: `name=value`, checked against their kinds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from ufc.io.validation import PICTURE_SUFFIXES, RequestError, check_path, check_text, listed
from ufc.tasks.attributes import IMAGE, TEXT
from ufc.tasks.instruction import Element, Instruction, Slot, join


def read_slots(texts: Iterable[str], instruction: Instruction) -> dict[str, str]:
    """Values by slot: text for a TEXT, the path of a picture for an IMAGE.

    Raises:
        RequestError: no `name=value`, a slot that the instruction has not or only wants, one given
            twice, or a value of the wrong kind.
    """
    values: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name:
            raise RequestError(f'--slot: got "{text}", wanted NAME=VALUE such as caption="red bag"')
        check_name(name, instruction)
        if name in values:
            raise RequestError(f"--slot {name}: is given twice; leave one of them out")
        values[name] = check_value(instruction.given[name], value)
    return values


def check_name(name: str, instruction: Instruction) -> None:
    """Raise `RequestError` unless the instruction takes a value for this slot."""
    if name in instruction.given:
        return
    known = listed(instruction.given) or "none"
    if name in instruction.wanted:
        raise RequestError(
            f"--slot {name}: is what the instruction makes; leave it out (slots to give: {known})"
        )
    raise RequestError(
        f"--slot {name}: the instruction has no such slot; those to give are: {known}"
    )


def check_value(slot: Slot, value: str) -> str:
    """The value; `RequestError` where it is empty or not of the slot's kind."""
    what = f"--slot {slot.name}"
    if not value.strip():
        raise RequestError(f"{what}: is empty; give {WANTED.get(slot.kind, 'a value')}")
    if slot.kind == IMAGE:
        check_path(what, value)
        if not Path(value).is_file():
            raise RequestError(
                f'{what}: is an {IMAGE}, and there is no file "{value}"; give the path of a picture'
            )
        return value
    check_text(what, value)
    if slot.kind == TEXT and value.lower().endswith(PICTURE_SUFFIXES) and Path(value).is_file():
        raise RequestError(f"{what}: is a {TEXT}, and {value} is a picture file; give words")
    return value


WANTED = {TEXT: "words", IMAGE: "the path of a picture"}


def refuse_missing(instruction: Instruction, values: Mapping[str, str]) -> None:
    """Raise `RequestError` where a slot that is given has no value."""
    missing = [slot for name, slot in instruction.given.items() if name not in values]
    if missing:
        flags = " ".join(f"--slot {slot.name}=…" for slot in missing)
        kinds = listed(f"{slot.name} ({WANTED.get(slot.kind, slot.kind)})" for slot in missing)
        raise RequestError(f"nothing is given for {kinds}; add {flags}")


def words_of(instruction: Instruction, values: Mapping[str, str]) -> str:
    """The words that an instruction gives: plain text and values of TEXT in their order."""

    def written(element: Element) -> str:
        if isinstance(element, Slot):
            return values[element.name] if element.kind == TEXT else " "
        return element.text

    return " ".join(join(instruction.left, written).split())
