"""One slot of an instruction: its kind, name and attributes, each checked where it stands."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from itertools import count

from ufc.io.validation import listed, shortened
from ufc.tasks.attributes import AttributeRule, places_of, rules_for
from ufc.tasks.errors import InstructionError
from ufc.tasks.instruction import ARROW, KINDS, Attribute, Slot

OTHER_KINDS = ("AUDIO", "VIDEO", "MOTION", "PHONE", "STRUCT")  # those OFASys has beside ours

_NAME = re.compile(r"[_A-Za-z0-9]+")
_VALUE = re.compile(r"[_A-Za-z0-9.\-]+")


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
        key, equals, _ = part.partition("=")
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
