"""How a program ends that is run as a module or a script: an exit code, and one line why."""

from __future__ import annotations

import sys
from collections.abc import Callable

BAD_INPUT, INTERRUPTED = 2, 130


def exit_code(work: Callable[[], str | None]) -> int:
    """Do the work and print what it returns.

    0, or after one line on standard error 2 for bad input and 130 for Ctrl-C.
    """
    try:
        said = work()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    except (ValueError, OSError, RuntimeError) as error:
        sys.stderr.write(f"error: {reason(error)}\n")
        return BAD_INPUT
    if said is not None:
        sys.stdout.write(f"{said}\n")
    return 0


def reason(error: BaseException) -> str:
    """What an error says, on one line; of a file that was to be renamed, its new name."""
    text = str(error)
    if isinstance(error, OSError) and error.filename and error.strerror:
        text = f"{error.filename2 or error.filename}: {error.strerror}"
    return " ".join(text.split()) or type(error).__name__
