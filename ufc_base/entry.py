"""How a program ends: an exit code, by the class of the error, and one line why.

And how it writes: a console that cannot show a character gets an escape for it, or that would obey
it, and one that has gone away, as `| head -1` does, is written to no more. Neither ends the work.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

from ufc_base.extras import UnavailableError, extra_missing
from ufc_base.visible_text import escaped

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
    escape_what_cannot_be_shown()
    try:
        said = work()
    except (KeyboardInterrupt, Exception) as caught:
        show_trace(caught)
        error = understood(caught)
        write_line(sys.stderr, f"error: {account(error)}")
        return code_of(error)
    if said is not None:
        write_line(sys.stdout, said)
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


def escape_what_cannot_be_shown() -> None:
    """Have both streams escape what their encoding lacks, whoever writes to them."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            with suppress(OSError, ValueError):
                reconfigure(errors="backslashreplace")


def write_line(stream: TextIO | None, text: str, end: str = "\n") -> None:
    """Write a line, or several, at once; what fails is passed over.

    What the stream cannot show, or a terminal would obey, is escaped: a text that was read from a
    file may hold anything.
    """
    if stream is None:  # a program without a console
        return
    try:
        stream.write(shown_on(stream, text) + end)
        stream.flush()
    except (OSError, ValueError):  # gone, full, or closed
        _let_go(stream)


def shown_on(stream: TextIO, text: str) -> str:
    """The text with escapes for what the stream's encoding lacks, or a terminal would obey."""
    return _encodable(stream, escaped(text))


def can_show(stream: TextIO | None, text: str) -> bool:
    """Whether a stream's encoding has every character of a text."""
    return stream is None or _encodable(stream, text) == text


def _encodable(stream: TextIO, text: str) -> str:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _let_go(stream: TextIO) -> None:
    """Send what is still written to a stream nowhere, so that closing it does not fail either."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
