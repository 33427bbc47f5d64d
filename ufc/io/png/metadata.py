"""The request inside the picture: written into PNG, JPEG and WebP, and read back.

A PNG carries the text that many programs know as `parameters`, and two JSON chunks of our own,
`ufc_metadata` (request, recipe, scores, versions) and `ufc_blocks` (confidence and provenance of
every block, see `block_record.py`). JPEG and WebP carry the same in the EXIF user comment. Input
files appear as their sha256 only, never by path; nothing that changes between two equal runs is
written. What is read may have been written by anybody: it is parsed in linear time, and bounded.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ufc.io.png.block_record import BlockRecord
from ufc.io.validation import RequestError, parse_json
from ufc.request import Request, Result
from ufc_base.arrays import ImageError
from ufc_base.reading import read_picture

METADATA_CHUNK = "ufc_metadata"
BLOCKS_CHUNK = "ufc_blocks"
PARAMETERS_CHUNK = "parameters"
FORMAT = 1

_EXIF_IFD, _USER_COMMENT = 0x8769, 0x9286
_EXIF_LIMIT = 60_000  # bytes; a JPEG segment holds 65,533
_MOST_LETTERS = 4 * 1024 * 1024  # of a chunk; the largest grid's record has a tenth of it
_MOST_NESTED = 32  # lists and objects within one another
_JSON = json.JSONDecoder()
_SAVE_AS: dict[str, dict[str, Any]] = {
    ".png": {"format": "PNG"},
    ".jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".jpeg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".webp": {"format": "WEBP", "lossless": True},
}


@dataclass(frozen=True)
class Metadata:
    """What a picture says about itself; each part may be absent.

    `parameters` is text for people and other programs, `request` the JSON of `ufc_metadata`,
    `blocks` what `ufc_blocks` says.
    """

    parameters: str | None = None
    request: Mapping[str, Any] | None = None
    blocks: BlockRecord | None = None


def describe(
    request: Request,
    result: Result,
    hashes: Mapping[str, str],
    size: tuple[int, int],
    *,
    curves: Sequence[Mapping[str, float]] = (),
    blocks: BlockRecord | None = None,
) -> Metadata:
    """Metadata of one finished picture of `size` (width, height).

    `hashes` gives the sha256 of every input file by the path the request has for it; `curves`
    are the scores of every step.
    """
    told = result.to_json()
    for name in ("file_name", "status", "seconds", "group", "seed"):
        told.pop(name, None)
    made = {"width": size[0], "height": size[1], **told}
    asked = request.to_json(lambda path: {"sha256": hashes[path]})
    asked.pop("output", None)
    chat = asked.get("expand_prompt")
    if chat is not None and Path(chat).is_dir():
        asked["expand_prompt"] = Path(chat).name  # the folder is of this machine
    payload = {"format": FORMAT, "request": asked, **made}
    if curves:
        payload["curves"] = [{k: rounded(v) for k, v in point.items()} for point in curves]
    return Metadata(parameters_text(request, result, size), payload, blocks)


def rounded(value: float | None) -> float | None:
    """A figure as JSON has it: six digits are enough, and what is no number is nothing."""
    return None if value is None or not math.isfinite(value) else round(float(value), 6)


def parameters_text(request: Request, result: Result, size: tuple[int, int]) -> str:
    """The widespread text form: prompt, negative prompt, one line of settings."""
    settings = {
        "Steps": request.num_inference_steps,
        "Sampler": request.order,
        "CFG scale": request.guidance_scale,
        "Seed": request.seed,
        "Size": f"{size[0]}x{size[1]}",
        "Model": result.model,
        "Compliance": result.compliance,
        "Fidelity": result.fidelity,
        "Version": f"ufc {(result.versions or {}).get('ufc', '')}".strip(),
    }
    lines = [request.prompt or ""]
    if request.negative_prompt:
        lines.append(f"Negative prompt: {request.negative_prompt}")
    said = {name: value for name, value in settings.items() if value is not None}
    lines.append(", ".join(f"{name}: {_quote(value)}" for name, value in said.items()))
    return "\n".join(lines)


def save_options(metadata: Metadata | None, suffix: str) -> dict[str, Any]:
    """Arguments for `Image.save` that write `metadata` into a file of this suffix.

    Raises:
        RequestError: a suffix that pictures are not written in.
    """
    options = _SAVE_AS.get(suffix.lower())
    if options is None:
        raise RequestError(f'got the format "{suffix}", wanted one of {", ".join(_SAVE_AS)}')
    if metadata is None:
        return dict(options)
    if suffix.lower() == ".png":
        return {**options, "pnginfo": _png_info(metadata)}
    return {**options, "exif": _exif(metadata)}


def read_metadata(source: str | PathLike[str] | BinaryIO) -> Metadata:
    """What a picture says about itself; all parts None where it says nothing.

    Raises:
        RequestError: not a picture, or its own chunks are damaged.
    """
    try:
        return metadata_of(read_picture(source), source)
    except ImageError as error:
        raise RequestError(str(error)) from None


def metadata_of(image: Image.Image, source: object) -> Metadata:
    """What a picture that `read_picture` has read from `source` says about itself.

    Raises:
        RequestError: its own chunks are damaged.
    """
    info = {str(name): text for name, text in image.info.items() if isinstance(text, str)}
    chunks = {PARAMETERS_CHUNK: None, **_comment_chunks(_user_comment(image)), **info}
    blocks = _chunk(source, BLOCKS_CHUNK, chunks)
    try:
        record = None if blocks is None else BlockRecord.from_json(blocks)
    except RequestError as error:
        raise RequestError(f"{source}: its {BLOCKS_CHUNK} is damaged: {error}") from None
    return Metadata(chunks[PARAMETERS_CHUNK], _chunk(source, METADATA_CHUNK, chunks), record)


def _user_comment(image: Image.Image) -> str | None:
    """The EXIF user comment; None where there is none, or one that cannot be read."""
    try:
        comment = image.getexif().get_ifd(_EXIF_IFD).get(_USER_COMMENT)
    except Exception:  # anything at all on damaged EXIF
        return None
    return _decode_comment(comment) if isinstance(comment, bytes | str) else None


def _comment_chunks(comment: str | None) -> dict[str, str]:
    """The parameters of a user comment, and the chunks quoted behind them, in its last line."""
    if comment is None:
        return {}
    words, line, rest = comment.rpartition("\n")
    marks = [f", {name}: " for name in (METADATA_CHUNK, BLOCKS_CHUNK)]
    ends = [end for end in (rest.find(f'{mark}"') for mark in marks) if end >= 0]
    settings = rest[: min(ends)] if ends else rest
    chunks = {PARAMETERS_CHUNK: words + line + settings}
    rest = rest[len(settings) :]
    for name, mark in zip((METADATA_CHUNK, BLOCKS_CHUNK), marks, strict=True):
        if rest.startswith(mark):
            try:
                chunks[name], end = _JSON.raw_decode(rest, len(mark))
            except ValueError:
                break
            rest = rest[end:]
    return chunks


def _png_info(metadata: Metadata) -> PngInfo:
    info = PngInfo()
    if metadata.parameters is not None:
        info.add_text(PARAMETERS_CHUNK, metadata.parameters)  # iTXt beyond Latin-1
    if metadata.request is not None:
        info.add_itxt(METADATA_CHUNK, _dump(metadata.request))
    if metadata.blocks is not None:
        info.add_itxt(BLOCKS_CHUNK, _dump(metadata.blocks.to_json()), zip=True)
    return info


def _exif(metadata: Metadata) -> bytes:
    """EXIF with the user comment; what would not fit is cut or left out."""
    text = _cut(metadata.parameters or "")
    blocks = None if metadata.blocks is None else metadata.blocks.to_json()
    for name, value in ((METADATA_CHUNK, metadata.request), (BLOCKS_CHUNK, blocks)):
        if value is not None:
            longer = f"{text}, {name}: {_quote(_dump(value))}"
            text = longer if len(longer.encode("utf-16-be")) <= _EXIF_LIMIT else text
    exif = Image.Exif()
    exif[_EXIF_IFD] = {_USER_COMMENT: b"UNICODE\0" + text.encode("utf-16-be")}
    return exif.tobytes()


def _cut(parameters: str) -> str:
    """The parameters within the limit of EXIF: words are cut, the line of settings is whole."""
    if len(parameters.encode("utf-16-be")) <= _EXIF_LIMIT:
        return parameters
    words, _, settings = parameters.rpartition("\n")
    end = f"…\n{settings}"
    room = _EXIF_LIMIT - len(end.encode("utf-16-be"))
    return words.encode("utf-16-be")[:room].decode("utf-16-be", "ignore") + end


def _decode_comment(comment: bytes | str) -> str:
    if isinstance(comment, str):
        return comment
    code, text = comment[:8], comment[8:]
    encoding = "utf-16-be" if code == b"UNICODE\0" else "utf-8"
    return text.decode(encoding, "replace")


def _chunk(source: object, name: str, chunks: Mapping[str, str | None]) -> Mapping[str, Any] | None:
    text = chunks.get(name)
    if text is None:
        return None
    try:
        if len(text) > _MOST_LETTERS:
            raise RequestError(f"has {len(text):,} letters, more than the {_MOST_LETTERS:,} read")
        value = parse_json(text)
        if not isinstance(value, dict):
            raise RequestError("not a JSON object")
        if _depth(value) > _MOST_NESTED:
            raise RequestError("is nested too deeply")
        _dump(value).encode()
    except UnicodeEncodeError:
        raise RequestError(f"{source}: its {name} is damaged: not valid Unicode") from None
    except RequestError as error:
        raise RequestError(f"{source}: its {name} is damaged: {error}") from None
    return value


def _depth(value: object) -> int:
    """How many lists and objects lie within one another; stops where they are too many."""
    depth, level = 0, [value]
    while level and depth <= _MOST_NESTED:
        level = [
            item
            for outer in level
            if isinstance(outer, dict | list)
            for item in (outer.values() if isinstance(outer, dict) else outer)
        ]
        depth += 1
    return depth


def _dump(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _quote(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if re.search(r'[,\n:"]', text) else text
