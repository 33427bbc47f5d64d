"""How the `ufc` program reads its commands: help that cuts nothing, flags built when needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import typer
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


def add_later(app: typer.Typer, name: str, later: Later) -> None:
    """List a command that is built when it is run, or its flags are completed."""

    class StandIn(PlainCommand):
        def make_context(
            self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
        ) -> Any:
            command, name, rest = later.build(args)
            return command.make_context(name, rest, parent=parent, **extra)

    def stands_in() -> None:
        """Never run: the context is that of the real command."""

    app.command(name, cls=StandIn, help=later.help, short_help=later.help)(stands_in)


def add(app: typer.Typer, name: str, function: Callable[..., int]) -> None:
    """Add a command whose flags need no further imports."""
    first_line = " ".join((function.__doc__ or "").partition("\n\n")[0].split())
    app.command(name, cls=PlainCommand, short_help=first_line)(function)


def command_of(function: Callable[..., int]) -> Any:
    """One function as a command by itself."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(cls=PlainCommand)(function)
    return get_command(app)
