"""Programs that are run as modules: a dataclass of flags a command, read by typer.

`ufc` itself (`ufc.cli`) is made of the same parts.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, Protocol, get_type_hints

import typer
from typer.core import TyperCommand
from typer.main import get_command

from ufc_base.entry import DONE, INTERRUPTED, exit_code


class Main(Protocol):
    """Run a command line (`sys.argv` by default); returns the exit code."""

    def __call__(self, arguments: Sequence[str] | None = None) -> int: ...


SETTINGS: dict[str, Any] = {
    "token_normalize_func": lambda name: name.replace("_", "-"),
    "max_content_width": 110,
}
UsageError: Any = typer.BadParameter.__base__  # typer has no public name for it


class PlainCommand(TyperCommand):
    """A command whose help has a section for each panel and breaks lines, but never a flag."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and flags, those without a panel first."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                is_flag = parameter.param_type_name == "option"
                panel = getattr(parameter, "rich_help_panel", None)
                title = panel or ("Options" if is_flag else "Arguments")
                sections.setdefault(title, []).append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def option(help: str, panel: str | None = None, *names: str, **settings: Any) -> Any:
    """A flag with its help text and the panel that it is listed in."""
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=False, **settings)


def switch(name: str, help: str, panel: str | None = None) -> Any:
    """A flag without a value and without an opposite."""
    return typer.Option(name, help=help, rich_help_panel=panel, show_default=False, metavar="")


def argument(help: str) -> Any:
    """A word without a flag."""
    return typer.Argument(help=help, show_default=False)


def flag_types(flags: type[Any], without: Sequence[str] = ()) -> dict[str, tuple[Any, Any]]:
    """Type and default of each field of a dataclass of flags, by name."""
    hints = get_type_hints(flags, include_extras=True)
    return {
        one.name: (
            hints[one.name],
            inspect.Parameter.empty if one.default is MISSING else one.default,
        )
        for one in fields(flags)
        if one.name not in without
    }


def with_flags(
    invoke: Callable[..., Any], types: Mapping[str, tuple[Any, Any]], help: str
) -> Callable[..., Any]:
    """The function with the signature that typer reads, and its help."""
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in types.items()
    ]
    invoke.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    invoke.__annotations__ = {name: kind for name, (kind, _) in types.items()}
    invoke.__doc__ = help
    return invoke


def program(
    name: str,
    about: str,
    commands: Mapping[str, tuple[type[Any], Callable[[Any], str | None], str]],
) -> Main:
    """A program of these commands: flags, what is done with them, a line of help.

    The one command under the name "" is the program itself. What a command returns is printed;
    the exit code is that of `ufc_base.entry`, 2 after one line for a wrong command line.
    """

    def main(arguments: Sequence[str] | None = None) -> int:
        app = typer.Typer(
            help=about,
            context_settings=SETTINGS,
            add_completion=False,
            pretty_exceptions_enable=False,
            rich_markup_mode=None,
        )
        for word, (flags, run, help) in commands.items():
            app.command(word or None, cls=PlainCommand)(
                with_flags(
                    lambda flags=flags, run=run, **values: run(flags(**values)),
                    flag_types(flags),
                    help or about,
                )
            )
        words = None if arguments is None else list(arguments)
        return exit_code(lambda: run_words(get_command(app), words, name))

    return main


def run_words(command: Any, words: list[str] | None, name: str) -> str | None:
    """Run one command line; what its command returns.

    Raises:
        ValueError: the command line is wrong.
    """
    try:
        said = command.main(words, prog_name=name, standalone_mode=False)
    except UsageError as error:
        text = " ".join(error.format_message().split()).rstrip(".")
        raise ValueError(f"{text}. See `{name} --help`.") from None
    if said == INTERRUPTED:  # typer makes an exit code of Ctrl-C
        raise KeyboardInterrupt
    return None if said == DONE else said
