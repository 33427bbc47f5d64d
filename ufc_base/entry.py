"""How a program ends: an exit code, by the class of the error, and one line why."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable

from ufc_base.extras import UnavailableError, extra_missing

DONE, FAILURE, BAD_INPUT, SOME_FAILED, INTERRUPTED = 0, 1, 2, 3, 130

# The first class that an error is of decides. Messages are for people and decide nothing.
CODES: tuple[tuple[type[BaseException], int], ...] = (
    (KeyboardInterrupt, INTERRUPTED),
    (ValueError, BAD_INPUT),
    (UnavailableError, BAD_INPUT),
    (FileNotFoundError, BAD_INPUT),
    (IsADirectoryError, BAD_INPUT),
    (NotADirectoryError, BAD_INPUT),
    (BaseException, FAILURE),
)
FORESEEN = (ValueError, OSError, UnavailableError)  # their messages are written for users


def exit_code(work: Callable[[], str | None]) -> int:
    """Do the work and print what it returns.

    0, or after one line on standard error the error's code from `CODES`; `UFC_DEBUG=1` adds the
    traceback.
    """
    try:
        said = work()
    except (KeyboardInterrupt, Exception) as caught:
        show_trace(caught)
        error = understood(caught)
        sys.stderr.write(f"error: {account(error)}\n")
        return code_of(error)
    if said is not None:
        sys.stdout.write(f"{said}\n")
    return DONE


def code_of(error: BaseException) -> int:
    """The exit code of an error that ends a program."""
    return next(code for kind, code in CODES if isinstance(error, kind))


def understood(error: BaseException) -> BaseException:
    """The error, or of a module that an extra brings how to install it."""
    return (extra_missing(error) or error) if isinstance(error, ImportError) else error


def show_trace(error: BaseException) -> None:
    """Print the traceback where `UFC_DEBUG` asks for it."""
    if os.environ.get("UFC_DEBUG"):
        traceback.print_exception(error)


def account(error: BaseException) -> str:
    """One line about an error: what it says, and of what nobody foresaw its class."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, FORESEEN):
        return reason(error)
    return f"{type(error).__name__}: {reason(error)} (UFC_DEBUG=1 shows where)"


def reason(error: BaseException) -> str:
    """What an error says, on one line; of a file that was to be renamed, its new name."""
    text = str(error)
    if isinstance(error, OSError) and error.filename and error.strerror:
        text = f"{error.filename2 or error.filename}: {error.strerror}"
    return " ".join(text.split()) or type(error).__name__
