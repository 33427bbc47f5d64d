"""Prompt files to requests: JSON lines, plain text, and manifests fed back.

The whole file is checked before anything is generated, and every error names its line. Relative
paths inside a file are resolved from the file's own folder.
"""

from __future__ import annotations

import os
import re
import shlex
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from ufc.conditioning.conditioning import request_controls
from ufc.conditioning.kinds import Text
from ufc.io.batch_plan import with_defaults
from ufc.io.validation import RequestError, parse_json, shortened
from ufc.request import RESULT_FIELDS, Request, Result, Row, request_names
from ufc.sampling.generation_config import OLD_NAMES, REQUEST_SETTINGS, kind_of

# What other tools, and earlier versions, call our fields, in text files.
_ALIASES = OLD_NAMES | {
    "steps": "num_inference_steps",
    "cfg_scale": "guidance_scale",
    "n_iter": "num_images_per_prompt",
    "reference_image": "reference_images",
}
_FLAG = re.compile(r"(?:^|\s)--[A-Za-z]")


def read_rows(path: str | PathLike[str], defaults: Request | None = None) -> list[Row]:
    """Read a `.jsonl` or `.txt` prompts file, or a manifest written by an earlier run.

    JSON lines are strict: one object per line, fields of `Request` only. A text file has one
    prompt per line, `#` begins a comment line, and flags may follow the prompt or replace it:
    `--prompt "…" --seed 1 --steps 12 --cfg_scale 3`. Lines without an id get their number.
    Where a manifest has several lines for a file, the last one counts, in the place of the first.
    A line is judged with what it leaves open taken from `defaults`, and returned as it stands.

    Raises:
        RequestError: an unreadable or empty file, a bad line, a duplicate id.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".jsonl", ".ndjson", ".txt"):
        raise RequestError(f"{path}: a prompts file ends in .jsonl or .txt")
    parse = _parse_text_line if suffix == ".txt" else _parse_json_line
    rows: dict[str, Row] = {}
    for number, line, whole in _lines(path):
        where = f"{path.name}, line {number}"
        if suffix == ".txt" and line.startswith("#"):
            continue
        try:
            request, result = parse(line)
            request = _resolve_paths(request, path.parent)
            if request.id is None:
                request = replace(request, id=f"{number:04d}")
            (request if defaults is None else with_defaults(request, defaults)).check_controls()
        except RequestError as error:
            if not whole and any(row.result for row in rows.values()):
                continue  # the run that wrote this manifest was killed within its last line
            raise RequestError(f"{where}: {error}") from None
        key = f"picture {result.file_name}" if result else f"id {request.id}"
        if key in rows and result is None:
            raise RequestError(
                f'{where}: the id "{request.id}" is used already ({rows[key].where}); '
                "give every line its own"
            )
        rows[key] = Row(request, where, result)
    _refuse_shared_ids(list(rows.values()))
    if not rows:
        raise RequestError(f"{path}: holds no prompts")
    return list(rows.values())


def _lines(path: Path) -> Iterator[tuple[int, str, bool]]:
    """Non-blank lines: number from 1, text, and whether the line has its end."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise RequestError(f"{path}: no such prompts file") from None
    except OSError as error:
        raise RequestError(f"{path}: cannot be read ({error.strerror})") from None
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for number, line in enumerate(lines, start=1):
        try:
            text = line.decode("utf-8").strip()
        except UnicodeDecodeError:
            raise RequestError(
                f"{path.name}, line {number}: is not UTF-8; save the file as UTF-8"
            ) from None
        if text:
            yield number, text, number < len(lines)


def _parse_json_line(line: str) -> tuple[Request, Result | None]:
    value = parse_json(line)
    if isinstance(value, Mapping) and "status" in value and "file_name" in value:
        result = {k: v for k, v in value.items() if k in RESULT_FIELDS or k == "seed"}
        fields = {k: v for k, v in value.items() if k not in RESULT_FIELDS}
        return Request.from_json(fields), Result.from_json(result)
    return Request.from_json(value), None


def _parse_text_line(line: str) -> tuple[Request, None]:
    flag = _FLAG.search(line)
    if flag is None:
        return Request(prompt=line), None
    prompt, tail = line[: flag.start()].strip(), line[flag.start() :]
    try:
        words = shlex.split(tail)
    except ValueError as error:
        raise RequestError(f"quotation marks do not match ({error}): {shortened(line)}") from None
    data: dict[str, Any] = {"prompt": prompt} if prompt else {}
    left = deque(words)
    while left:
        _take_flag(left, data)
    return Request(**data), None


def _take_flag(words: deque[str], data: dict[str, Any]) -> None:
    """Move one flag and its value from the front of `words` into the fields of a request."""
    flag, joined, value = words.popleft().partition("=")
    name = flag.removeprefix("--").replace("-", "_").lower()
    name = _ALIASES.get(name, name)
    if not flag.startswith("--"):
        raise RequestError(f'got "{shortened(flag)}", wanted a flag such as --seed')
    if name not in request_names():
        raise RequestError(f"{shortened(flag)} is not a flag of prompt files")
    control = request_controls().get(name)
    if not joined:
        if not words or words[0].startswith("--"):
            raise RequestError(f"{flag} has no value")
        said = [words.popleft()]
        # Text may be given without quotation marks.
        while control and isinstance(control.kind, Text) and words and words[0][:2] != "--":
            said.append(words.popleft())
        value = " ".join(said)
    if name in data and name != "reference_images":
        raise RequestError(f"{flag} is given twice, or beside the prompt it stands for")
    if control:
        data[name] = control.kind.from_words(name, value, data.get(name))
    else:
        data[name] = _setting(name, flag, value) if name in REQUEST_SETTINGS else value


def _setting(name: str, flag: str, value: str) -> Any:
    kind = kind_of(name)
    try:
        if kind is int:
            return None if (name, value) == ("seed", "-1") else int(value)  # -1: any seed
        if kind is bool:
            return {"true": True, "false": False}[value.lower()]
        return float(value) if kind is float else value
    except (ValueError, KeyError):
        wanted = "true or false" if kind is bool else "a number"
        raise RequestError(f'{flag}: got "{shortened(value)}", wanted {wanted}') from None


def _resolve_paths(request: Request, folder: Path) -> Request:
    return request.with_pictures(lambda path: str(folder / os.path.expanduser(path)))


def _refuse_shared_ids(rows: list[Row]) -> None:
    """A manifest's lines share the id of their request, but not with an ordinary line."""
    ordinary = {row.request.id: row for row in rows if row.result is None}
    for row in rows:
        if row.result is not None and row.request.id in ordinary:
            other = ordinary[row.request.id].where
            raise RequestError(f'{row.where}: the id "{row.request.id}" is used already ({other})')
