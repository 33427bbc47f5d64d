"""The commands of `ufc` and their flags, names only, one a line; scripts of users depend on them.

python scripts/surface.py tests/ufc/cli/surface.txt
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from ufc.cli.main import app
from ufc.cli.measuring.flags import FORMS


def surface() -> list[str]:
    """`ufc COMMAND --flag` for all there are, sorted."""
    program: Any = typer.main.get_command(app)
    context = program.make_context("ufc", [], resilient_parsing=True)
    words = [[name] for name in program.commands] + [["evaluate", form] for form in FORMS]
    lines = list(flags_of(program, "ufc"))
    for arguments in words:
        name, command, rest = program.resolve_command(context, arguments)
        own = command.make_context(name, rest, resilient_parsing=True)
        name = f"ufc {own.info_name}"
        lines += [name, *flags_of(own.command, name)]
    return sorted(lines)


def flags_of(command: Any, name: str) -> Iterator[str]:
    """A line for each spelling of each flag, and for each argument."""
    for parameter in command.params:
        yield from (f"{name} {flag}" for flag in (*parameter.opts, *parameter.secondary_opts))


def main(arguments: list[str]) -> int:
    """Write the list to a file, or print it."""
    text = "\n".join(surface()) + "\n"
    if arguments:
        Path(arguments[0]).write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
