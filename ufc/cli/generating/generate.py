"""`ufc generate`: pictures from flags or from a prompts file."""

from __future__ import annotations

from dataclasses import replace

from ufc.cli.flags import GenerateFlags, GenerationFlags, flag_of, request_from_flags
from ufc.cli.generating.run import run_batch
from ufc.cli.terminal import say
from ufc.io.batch_plan import name_from_prompt, with_defaults
from ufc.io.png.picture_row import is_picture, read_picture_row
from ufc.io.prompts_file import read_rows
from ufc.io.validation import RequestError
from ufc.request import Request, Row

HELP = """Generate pictures from words, reference images and kept blocks, in any combination.

Each picture is written at once as {id}-{seed}-{index}.png, with its request inside, and
manifest.jsonl tells them all; given as --prompts-file it makes the same pictures again."""


def run(flags: GenerateFlags) -> int:
    """Carry out the command; returns the exit code."""
    if flags.prompts_file is None:
        if flags.limit is not None:
            raise RequestError("--limit: counts the lines of a --prompts-file; give one")
        return run_batch(flags, [row_from_flags(flags)])
    if flags.controls.get("prompt") is not None:
        raise RequestError("got both --prompt and --prompts-file; give one of them")
    path = flags.prompts_file
    rows = [read_picture_row(path)] if is_picture(path) else read_rows(path)[: flags.limit]
    defaults = request_from_flags(flags)
    if not flags.quiet:
        for line in flags_without_effect(rows, defaults):
            say(line)
    rows = [replace(row, request=with_defaults(row.request, defaults)) for row in rows]
    return run_batch(flags, rows)


def flags_without_effect(rows: list[Row], defaults: Request) -> list[str]:
    """A line for each flag that lines of a prompts file override."""
    lines = []
    given = [row.request.to_json() for row in rows]
    for name, value in defaults.to_json().items():
        own = [fields.get(name) for fields in given]
        kept = sum(bool(mine) and mine != value for mine in own)
        if kept:
            flag = "--" + flag_of(name).replace("_", "-")
            lines.append(f"{flag}: {kept} of {len(rows)} lines have their own and keep it")
    return lines


def row_from_flags(flags: GenerationFlags) -> Row:
    """The one request that flags alone make, with an id made of its prompt."""
    request = request_from_flags(flags)
    request.check_controls()
    return Row(replace(request, id=name_from_prompt(request.prompt)), where="")
