"""A wrong command line in one line: which flag, what was got, what is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ufc.io.validation import shortened, shown

_WANTED = {
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "float_parsing": "a number",
    "bool_parsing": "true or false",
}


def usage_problem(error: Any) -> str:
    """One line about a `UsageError`, with the command whose help says more."""
    command = error.ctx.command_path if error.ctx else "ufc"
    details = getattr(error.__cause__, "errors", None)  # pydantic's, of a flag's value
    if details is None or error.param is None:
        message = " ".join(error.format_message().split()).rstrip(".")
    else:
        message = f"{_name(error.param)}: {_mismatch(details()[0])}"
    return f"{message}. See `{command} --help`."


def _name(parameter: Any) -> str:
    """A flag as it is written, an argument as the help shows it."""
    return max(parameter.opts, key=len) if parameter.param_type_name == "option" else "argument"


def _mismatch(details: Mapping[str, Any]) -> str:
    """What was got and wanted, from pydantic's kind of error and its figures."""
    got, figures = shown(details.get("input")), details.get("ctx", {})
    number = shortened(str(details.get("input")))
    if "ge" in figures:
        return f"got {number}, wanted {figures['ge']} or more"
    if "le" in figures:
        return f"got {number}, wanted {figures['le']} or less"
    if details["type"] in _WANTED:
        return f"got {got}, wanted {_WANTED[details['type']]}"
    return str(figures.get("error", details["msg"])).rstrip(".")
