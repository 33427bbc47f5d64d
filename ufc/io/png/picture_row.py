"""A picture as a prompts file: the request that it carries, as a line of its manifest would be."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from ufc.conditioning.conditioning import picture_kinds
from ufc.io.png.metadata import read_metadata
from ufc.io.validation import RequestError
from ufc.request import RESULT_FIELDS, Request, Result, Row

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def is_picture(path: str | PathLike[str]) -> bool:
    return Path(path).suffix.lower() in SUFFIXES


def read_picture_row(path: str | PathLike[str]) -> Row:
    """What generates a picture of ours again: its request, and what generated it.

    Raises:
        RequestError: no picture or none of ours, or one made from files, of which it knows the
            contents only.
    """
    path = Path(path)
    said = read_metadata(path).request
    fields = said.get("request") if said else None
    if said is None or not isinstance(fields, dict):
        raise RequestError(f"{path}: holds no request; give a picture that ufc generated")
    if any(fields.get(name) for name in picture_kinds()):
        raise RequestError(
            f"{path}: was made from other pictures, and knows their contents only; give the "
            "manifest.jsonl of its folder"
        )
    told = {name: value for name, value in said.items() if name in RESULT_FIELDS}
    try:
        request = Request.from_json(fields)
        result = Result.from_json({**told, "file_name": path.name, "seed": request.seed})
        request.check_controls()
    except RequestError as error:
        raise RequestError(f"{path.name}: {error}") from None
    return Row(request, path.name, result)
