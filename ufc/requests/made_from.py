"""The controls that a picture was generated under, with their files found again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ufc.conditioning.conditioning import Conditioning, picture_kinds
from ufc.conditioning.controls import CONTROLS
from ufc.io.inputs import InputFiles
from ufc.io.manifest import MANIFEST
from ufc.io.png.metadata import Metadata
from ufc.io.prompts_file import read_rows
from ufc.io.validation import RequestError
from ufc.request import Request
from ufc_base.arrays import ImageError


def controls_of(picture: str, metadata: Metadata) -> Conditioning | None:
    """What becomes tokens of a picture's request, its files opened.

    A picture knows its input files by their contents alone; the manifest in its folder says where
    they were. None where the picture says nothing, or files are not there or were changed.
    """
    said = (metadata.request or {}).get("request")
    if not isinstance(said, Mapping):
        return None
    words = {name: said[name] for name in (*CONTROLS, "expanded_prompt") if name in said}
    try:
        if not words.keys() & picture_kinds().keys():
            return tokens_of(Request.from_json(words))
        files, request = InputFiles(), listed_request(Path(picture))
        if request is None or as_told(request, files) != {n: said.get(n) for n in CONTROLS}:
            return None
        return files.load(tokens_of(request))
    except (RequestError, ImageError):
        return None


def listed_request(picture: Path) -> Request | None:
    """The request that the manifest beside a picture has for it, with paths as seen from here.

    Raises:
        RequestError: there is no manifest, or it cannot be read.
    """
    rows = read_rows(picture.parent / MANIFEST)
    own = (row.request for row in rows if row.result and row.result.file_name == picture.name)
    return next(own, None)


def as_told(request: Request, files: InputFiles) -> dict[str, Any]:
    """A request's controls as a picture's file has them: pictures by their sha256.

    Raises:
        ImageError: a file that cannot be read.
    """
    pictures = request.conditioning.pictures.items()
    hashes = files.hashes({name: paths for name, paths in pictures if name in CONTROLS})
    told = request.to_json(lambda path: {"sha256": hashes.get(path)})
    return {name: told.get(name) for name in CONTROLS}


def tokens_of(request: Request) -> Conditioning:
    """Those of a request's controls that become tokens, with the words that were used."""
    controls = request.conditioning.present() | {"prompt": request.used_prompt}
    return Conditioning(**{name: controls[name] for name in CONTROLS if name in controls})
