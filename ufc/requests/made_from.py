"""The controls that a picture was generated under, with their files found again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ufc.conditioning.conditioning import Conditioning, picture_kinds
from ufc.conditioning.controls import CONTROLS
from ufc.io.inputs import InputFiles
from ufc.io.manifest import MANIFEST
from ufc.io.png.metadata import Metadata
from ufc.io.prompts_file import read_rows
from ufc.io.validation import RequestError, listed
from ufc.request import Request


def asked_of(metadata: Metadata) -> Mapping[str, Any]:
    """The request that a picture says it was made from; empty where it says none."""
    said = (metadata.request or {}).get("request")
    return said if isinstance(said, Mapping) else {}


def controls_of(picture: str, metadata: Metadata) -> Conditioning:
    """What becomes tokens of a picture's request, its files opened; nothing where it says none.

    A picture knows its input files by their contents alone; the manifest of its output folder says
    where they were.

    Raises:
        RequestError: no manifest has the picture, or what it has is not what the picture says: a
            file was changed, say.
        ImageError: a file is not there any more, or cannot be read.
    """
    said = asked_of(metadata)
    words = {name: said[name] for name in (*CONTROLS, "expanded_prompt") if name in said}
    if not words.keys() & picture_kinds().keys():
        return tokens_of(Request.from_json(words))
    files, request = InputFiles(), listed_request(picture)
    recorded = recorded_controls(request, files)
    others = [name for name in CONTROLS if recorded[name] != said.get(name)]
    if others:
        raise RequestError(
            f"{picture}: was made from other {listed(others)} than its {MANIFEST} leads to; a file "
            "was changed, or the line is another run's"
        )
    return files.load(tokens_of(request))


def listed_request(picture: str) -> Request:
    """The request that a manifest has for a picture in its folder or below, with whole paths.

    Raises:
        RequestError: no manifest has one, or it cannot be read.
    """
    path = Path(os.path.abspath(picture))
    for folder in path.parents:
        if not (folder / MANIFEST).is_file():
            continue
        name = path.relative_to(folder).as_posix()
        for row in read_rows(folder / MANIFEST):
            if row.result and row.result.file_name == name:
                return row.request
    raise RequestError(
        f"{picture}: no {MANIFEST} in its folder or above it has this picture, so where the "
        "pictures are that it was made from is not known"
    )


def recorded_controls(request: Request, files: InputFiles) -> dict[str, Any]:
    """A request's controls as a picture's file records them: pictures by their sha256.

    Raises:
        ImageError: a file that cannot be read.
    """
    pictures = request.conditioning.pictures.items()
    hashes = files.hashes({name: paths for name, paths in pictures if name in CONTROLS})
    record = request.to_json(lambda path: {"sha256": hashes.get(path)})
    return {name: record.get(name) for name in CONTROLS}


def tokens_of(request: Request) -> Conditioning:
    """Those of a request's controls that become tokens, with the words that were used."""
    controls = request.conditioning.present() | {"prompt": request.used_prompt}
    return Conditioning(**{name: controls[name] for name in CONTROLS if name in controls})
