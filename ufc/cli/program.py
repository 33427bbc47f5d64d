"""How the `ufc` program reads its commands: help that cuts nothing, flags built when needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup
from typer.main import get_command

from ufc_base.program import PlainCommand


@dataclass(frozen=True)
class Later:
    """A command whose flags need imports that no other command should wait for.

    Attributes:
        help: its line in the list of commands.
        build: from the words after its name: the command, its full name, and the words left.
    """

    help: str
    build: Callable[[list[str]], tuple[Any, str, list[str]]]


class Program(TyperGroup):
    """The program; `later` has the commands that are built when they are run or completed."""

    later: ClassVar[dict[str, Later]] = {}  # filled by `add_later`

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        """Name, command and its words; also what shell completion asks."""
        name, command, rest = super().resolve_command(ctx, args)
        if name not in self.later:
            return name, command, rest
        command, name, rest = self.later[name].build(rest)
        return name, command, rest


def add_later(app: typer.Typer, name: str, later: Later) -> None:
    """List a command of `later` in the program's help."""

    def stands_in() -> None:
        """Never run: `resolve_command` has built the real one."""

    app.command(name, help=later.help, short_help=later.help)(stands_in)
    Program.later[name] = later


def add(app: typer.Typer, name: str, function: Callable[..., int]) -> None:
    """Add a command whose flags need no further imports."""
    first_line = " ".join((function.__doc__ or "").partition("\n\n")[0].split())
    app.command(name, cls=PlainCommand, short_help=first_line)(function)


def command_of(function: Callable[..., int]) -> Any:
    """One function as a command by itself."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(cls=PlainCommand)(function)
    return get_command(app)
