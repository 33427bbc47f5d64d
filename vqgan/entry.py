"""How a program ends that is run as a module or a script: an exit code, and one line why."""

from __future__ import annotations

import sys
from collections.abc import Callable

BAD_INPUT, INTERRUPTED = 2, 130


def exit_code(work: Callable[[], object]) -> int:
    """Do the work: 0, or after one line on standard error 2 for bad input and 130 for Ctrl-C."""
    try:
        work()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    except (ValueError, OSError, RuntimeError) as error:
        text = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, OSError) and error.filename and error.strerror:
            text = f"{error.filename}: {error.strerror}"
        sys.stderr.write(f"error: {text}\n")
        return BAD_INPUT
    return 0
