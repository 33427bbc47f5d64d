"""Checks of values that people wrote, each with an error that says what was got and wanted."""

from __future__ import annotations

import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ufc_base.files import folded
from ufc_base.visible_text import OneLineError

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
RESERVED_NAMES = ("grid.png",)  # written by the program itself
# Devices of Windows: no file there can have such a name, with whatever suffix.
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])")
_UNSAFE_IN_NAMES = re.compile(r'[\x00-\x1f\x7f/\\<>:"|?*]')


class RequestError(OneLineError):
    """A request that cannot be carried out; the message is one line for the person who wrote it."""


class AllKeptError(RequestError):
    """Every block is kept, so nothing is left to make anew."""


class NothingAskedError(RequestError):
    """Nothing says what to generate."""


def check_id(value: object) -> None:
    """Raise `RequestError` unless `value` can be part of a file name on any system."""
    value = check_text("id", value)
    if not value or len(value.encode()) > 160:
        raise RequestError(f'id: got "{shortened(value)}", wanted 1 to 160 bytes')
    if _UNSAFE_IN_NAMES.search(value) or ".." in value or value.startswith("."):
        raise RequestError(
            f'id: "{shortened(value)}" would leave the output folder or make a bad file name; '
            'use no separators, no leading dot, no ".." and none of <>:"|?*'
        )
    if value != value.strip() or value.endswith("."):
        raise RequestError(
            f'id: "{shortened(value)}" begins or ends with a space, or ends with a dot, '
            "which Windows drops; leave it out"
        )
    if is_device(value):
        raise RequestError(
            f'id: "{shortened(value)}" is the name of a device on Windows; choose another'
        )


def check_output(value: object, field: str = "output") -> None:
    """Raise `RequestError` unless `value` is a picture path that stays in the output folder."""
    value = check_text(field, value)
    parts = value.split("/")
    unsafe = any(
        not part
        or part.startswith(".")
        or part.endswith(".")
        or part != part.strip()
        or is_device(part)
        or _UNSAFE_IN_NAMES.search(part)
        for part in parts
    )
    if unsafe or len(value.encode()) > 1_000 or any(len(part.encode()) > 240 for part in parts):
        raise RequestError(
            f'{field}: "{shortened(value)}" would leave the output folder or make a bad file name; '
            "give a relative path with / between plain names, none of them a device of Windows"
        )
    if not value.lower().endswith(PICTURE_SUFFIXES):
        raise RequestError(
            f'{field}: "{shortened(value)}" must end in one of {listed(PICTURE_SUFFIXES)}'
        )
    if folded(value) in RESERVED_NAMES:
        raise RequestError(f'{field}: "{value}" is written by the program itself; choose another')


def is_device(name: str) -> bool:
    """Whether Windows takes a file name for one of its devices, whatever stands behind a dot."""
    return bool(_DEVICES.fullmatch(name.partition(".")[0].rstrip()))


def check_path(name: str, value: object) -> str:
    """The value itself; `RequestError` unless it can be the path of a file on this system.

    File names are bytes on some systems: those that are not UTF-8 are surrogates in Python's text.
    """
    if not isinstance(value, str):
        raise RequestError(f"{name}: got {shown(value)}, wanted text")
    if "\0" in value:
        raise RequestError(f"{name}: the path holds a NUL character; remove it")
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        raise RequestError(
            f"{name}: {shown(value)} cannot be the name of a file here; write it as UTF-8"
        ) from None
    return value


def check_text(name: str, value: object) -> str:
    """The value itself; `RequestError` unless it is text that can be written as UTF-8."""
    if not isinstance(value, str):
        raise RequestError(f"{name}: got {shown(value)}, wanted text")
    if "\0" in value:
        raise RequestError(f"{name}: the text holds a NUL character; remove it")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise RequestError(f"{name}: the text is not valid Unicode; write it as UTF-8") from None
    return value


def check_integer(name: str, value: object, low: int, high: int) -> None:
    """Raise `RequestError` unless `value` is a whole number from `low` to `high`."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise RequestError(f"{name}: got {shown(value)}, wanted a whole number")
    if not low <= value <= high:
        raise RequestError(f"{name}: got {shown(value)}, wanted {low} to {high}")


def check_number(name: str, value: object, low: float, high: float) -> None:
    """Raise `RequestError` unless `value` is a number from `low` to `high`."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise RequestError(f"{name}: got {shown(value)}, wanted a number")
    if not low <= value <= high:  # nor NaN
        raise RequestError(f"{name}: got {shown(value)}, wanted {low:g} to {high:g}")


def check_range(blocks: Iterable[int], num_blocks: int) -> None:
    """Raise `RequestError` where a block is outside 0..num_blocks-1."""
    wrong = [block for block in blocks if not 0 <= block < num_blocks]
    if wrong:
        raise RequestError(
            f"preserve_blocks: {shortened(listed(str(block) for block in wrong))} out of range, "
            f"wanted 0 to {num_blocks - 1}"
        )


def refuse_unknown(names: Iterable[Any], known: tuple[str, ...], where: str) -> None:
    """Raise `RequestError` where a field of an object is not `known`."""
    unknown = sorted(str(name) for name in names if name not in known)
    if unknown:
        raise RequestError(
            f"unknown field{'s' * (len(unknown) > 1)} {shortened(listed(unknown))} in {where}; "
            f"known are {listed(known)}"
        )


def listed(names: Iterable[str]) -> str:
    """Names for a message, with commas."""
    return ", ".join(names)


def shown(value: object) -> str:
    """A value as JSON would name it, short enough for a message."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'the text "{shortened(value)}"'
    if isinstance(value, int | float):
        try:
            return shortened(str(value))
        except ValueError:  # too many digits to print
            return "a very large number"
    if isinstance(value, list | tuple):
        return "a list"
    return "an object" if isinstance(value, Mapping) else f"a {type(value).__name__}"


def shortened(text: str, limit: int = 60) -> str:
    """One line of at most `limit` characters."""
    line = " ".join(text.encode("utf-8", "replace").decode().split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def parse_json(text: str) -> Any:
    """Strict JSON: no NaN or Infinity, also not as 1e999, no name twice in an object.

    Raises:
        RequestError: the text is not JSON.
    """
    try:
        return json.loads(
            text, object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_finite
        )
    except json.JSONDecodeError as error:
        hint = f"{error.msg} at column {error.colno}"
        raise RequestError(f"is not JSON ({hint}): {shortened(text)}") from None
    except RequestError:
        raise
    except (ValueError, RecursionError):
        raise RequestError(f"is not JSON that can be read: {shortened(text)}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise RequestError(f"has the field {shortened(twice)} twice")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise RequestError(f"is not JSON that can be read: {shortened(text)} is too large")
    return value


def _refuse_constant(name: str) -> None:
    raise RequestError(f"is not JSON: {name} is not a number")
