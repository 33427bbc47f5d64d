"""Mixtures of tasks: a YAML file of names, instructions and weights, checked line by line.

text-to-image: 4                                    # a built-in task and its weight
season: "what season is this for? [IMAGE:picture] -> [TEXT:answer,closed_set=season]"
masked: {instruction: "[TEXT,mask_ratio=0.3] -> [TEXT]", weight: 0.5}
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ufc.io.validation import RequestError, listed, shortened, shown
from ufc.tasks.errors import InstructionError
from ufc.tasks.families import make_plan
from ufc.tasks.grammar import parse
from ufc.tasks.instruction import Instruction
from ufc.tasks.plan import Plan
from ufc_base.formats.yaml_text import ODD_VALUES, open_yaml

BUILTIN = Path(__file__).with_name("builtin.yaml")


@dataclass(frozen=True)
class Task:
    """A named instruction and its weight: how often it is trained, relative to the others."""

    name: str
    instruction: Instruction
    plan: Plan
    weight: float = 1.0


class Entry(BaseModel):
    """What stands under a task's name."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    instruction: str | None = Field(None, max_length=10_000)
    weight: float = Field(1.0, gt=0, le=1e6)


@dataclass(frozen=True)
class Located:
    """A value of a YAML file, its line from 1, and the lines of its fields."""

    value: Any
    line: int
    lines: dict[str, int]


def read_mixture(path: str | PathLike[str]) -> list[Task]:
    """The tasks of a mixture, in the order of the file.

    Raises:
        RequestError: an unreadable or empty file, or the first thing wrong in it, with its line;
            `InstructionError` where that is an instruction.
    """
    return list(tasks_of(Path(path), builtin_tasks()))


@cache
def builtin_tasks() -> dict[str, Task]:
    """The tasks that come with the program, by name."""
    return {task.name: task for task in tasks_of(BUILTIN, {})}


def find_instruction(text: str) -> Instruction:
    """The instruction of a built-in task, where `text` is its name; else `text` read as one.

    Raises:
        InstructionError: it is neither.
    """
    if text in builtin_tasks():
        return builtin_tasks()[text].instruction
    try:
        return parse(text)
    except InstructionError as error:
        if "->" in text or "[" in text:
            raise
        remedy = f"{error.remedy}, or name a built-in task: {listed(builtin_tasks())}"
        raise InstructionError(error.problem, remedy, text, error.position, error.length) from None


def tasks_of(path: Path, known: dict[str, Task]) -> Iterator[Task]:
    """Each task of a file; `known` may be named with nothing but a weight."""
    entries = read_entries(path)
    if not entries:
        raise RequestError(f"{path}: holds no tasks; write lines of `name: instruction`")
    for name, located in entries.items():
        entry = check_entry(path.name, name, located)
        if entry.instruction is None and name not in known:
            raise RequestError(
                f"{path.name}, line {located.line}: {shortened(name)} has no instruction and is no "
                f"built-in task; write one, or name one of {listed(known)}"
            )
        line = located.lines.get("instruction", located.line)
        try:
            written = entry.instruction is not None
            instruction = parse(entry.instruction or "") if written else known[name].instruction
            yield Task(name, instruction, make_plan(instruction), entry.weight)
        except InstructionError as error:
            raise error.within(f"{path.name}, line {line}") from None


def check_entry(file: str, name: str, located: Located) -> Entry:
    """What stands under a name, checked.

    Raises:
        RequestError: the first thing that is wrong, with its line.
    """
    value = located.value
    if isinstance(value, str):
        value = {"instruction": value}
    elif isinstance(value, int | float) and not isinstance(value, bool):
        value = {"weight": value}
    where = f"{file}, line {located.line}: {shortened(name)}"
    if not isinstance(value, dict):
        raise RequestError(
            f"{where}: got {shown(value)}, wanted an instruction, a weight, or both as "
            "{instruction: …, weight: …}"
        )
    try:
        return Entry.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = str(first["loc"][0]) if first["loc"] else ""
        line = located.lines.get(key, located.line)
        raise RequestError(
            f"{file}, line {line}: {shortened(name)}: {entry_problem(key, first)}"
        ) from None


def entry_problem(key: str, details: Any) -> str:
    """One line about what pydantic found."""
    if details["type"] == "extra_forbidden":
        return f"unknown name {shortened(key)}; known are {listed(Entry.model_fields)}"
    wanted = "a number above 0 and up to 1000000" if key == "weight" else "one line of text"
    return f"{key}: got {shown(details['input'])}, wanted {wanted}"


def read_entries(path: Path) -> dict[str, Located]:
    """The values of a YAML mapping by name, with their lines.

    Raises:
        RequestError: unreadable, not YAML, no mapping, or a name that is there twice.
    """
    try:
        loader = open_yaml(path)
    except FileNotFoundError:
        raise RequestError(f"{path}: no such mixture of tasks") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{path}: cannot be read ({error}); save it as UTF-8") from None
    except ValueError as error:
        raise RequestError(f"{path.name}: {error}") from None
    try:
        return entries_of(path, loader, loader.get_single_node())
    except RequestError:
        raise
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        said = shortened(str(getattr(error, "problem", None) or error), 200)
        raise RequestError(f"{path.name}{line}: is not YAML ({said})") from None
    except ODD_VALUES:
        raise RequestError(f"{path.name}: holds a value that cannot be read") from None


def entries_of(path: Path, loader: yaml.SafeLoader, node: yaml.Node | None) -> dict[str, Located]:
    """The values of a document by name; empty where there is nothing in it."""
    if node is None:
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise RequestError(
            f"{path.name}, line {node.start_mark.line + 1}: wanted lines of `name: instruction`"
        )
    entries: dict[str, Located] = {}
    for name, key, value in named(path, node):
        inner = named(path, value) if isinstance(value, yaml.MappingNode) else ()
        lines = {field: mark.start_mark.line + 1 for field, mark, _ in inner}
        line = key.start_mark.line + 1
        entries[name] = Located(loader.construct_object(value, deep=True), line, lines)
    return entries


def named(path: Path, node: yaml.MappingNode) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
    """Name, key and value of each line of a mapping.

    Raises:
        RequestError: a key that is no text, or is there twice.
    """
    seen: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        name = key.value
        if not isinstance(key, yaml.ScalarNode) or not name:
            raise RequestError(f"{path.name}, line {line}: a name is text, such as text-to-image")
        if name in seen:
            raise RequestError(
                f"{path.name}, line {line}: {shortened(name)} is there twice, first in line "
                f"{seen[name]}; give each a name of its own"
            )
        seen[name] = line
        yield name, key, value
