"""The request inside the picture: written into PNG, JPEG and WebP, and read back.

A PNG carries the text that many programs know as `parameters`, and two JSON chunks of our own,
`ufc_metadata` (request, recipe, scores, versions) and `ufc_blocks` (confidence and provenance of
every block). JPEG and WebP carry the same in the EXIF user comment. Input files appear as their
sha256 only, never by path; nothing that changes between two equal runs is written.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, BinaryIO

from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from ufc.io.prompts_file import parse_json
from ufc.io.validation import RequestError
from ufc.request import Request, Result

METADATA_CHUNK = "ufc_metadata"
BLOCKS_CHUNK = "ufc_blocks"
PARAMETERS_CHUNK = "parameters"
FORMAT = 1

_EXIF_IFD, _USER_COMMENT = 0x8769, 0x9286
_EXIF_LIMIT = 60_000  # bytes; a JPEG segment holds 65,533
_MAX_PIXELS = 64 * 1024 * 1024
_SETTING = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
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
    `blocks` that of `ufc_blocks`.
    """

    parameters: str | None = None
    request: Mapping[str, Any] | None = None
    blocks: Mapping[str, Any] | None = None


def describe(
    request: Request,
    result: Result,
    hashes: Mapping[str, str],
    size: tuple[int, int],
    *,
    curves: Sequence[Mapping[str, float]] = (),
    blocks: Mapping[str, Any] | None = None,
) -> Metadata:
    """Metadata of one finished picture of `size` (width, height).

    `hashes` gives the sha256 of every input file by the path the request has for it; `curves`
    are the scores of every step.
    """
    asked = request.to_json()
    asked.pop("output", None)
    for name in ("image", "mask_image"):
        if name in asked:
            asked[name] = {"sha256": hashes[asked[name]]}
    if request.reference_images:
        asked["reference_images"] = [
            {"sha256": hashes[item.path], "weight": item.weight}
            for item in request.reference_images
        ]
    told = result.to_json()
    for name in ("file_name", "status", "seconds", "group", "seed"):
        told.pop(name, None)
    payload = {"format": FORMAT, "request": asked, "width": size[0], "height": size[1], **told}
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
        with Image.open(source, formats=("PNG", "JPEG", "WEBP")) as image:
            if image.width * image.height <= _MAX_PIXELS:
                image.load()  # a PNG may have text behind its pixels
            info = {str(name): text for name, text in image.info.items() if isinstance(text, str)}
            comment = image.getexif().get_ifd(_EXIF_IFD).get(_USER_COMMENT)
    except FileNotFoundError:
        raise RequestError(f"{source}: no such file") from None
    except IsADirectoryError:
        raise RequestError(f"{source}: is a folder, wanted a picture file") from None
    except UnidentifiedImageError:
        raise RequestError(f"{source}: is not a PNG, JPEG or WebP picture") from None
    except Image.DecompressionBombError:
        raise RequestError(f"{source}: has far too many pixels; shrink it first") from None
    except Exception as error:  # decoders raise anything at all on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise RequestError(f"{source}: cannot be read as a picture ({reason})") from None
    if isinstance(comment, bytes | str):
        text = _decode_comment(comment)
        found = {key: _unquote(value) for key, value in _SETTING.findall(text.split("\n")[-1])}
        parameters = text.partition(f", {METADATA_CHUNK}: ")[0]
        info = {PARAMETERS_CHUNK: parameters, **found, **info}
    return Metadata(
        info.get(PARAMETERS_CHUNK),
        _chunk(source, METADATA_CHUNK, info),
        _chunk(source, BLOCKS_CHUNK, info),
    )


def _png_info(metadata: Metadata) -> PngInfo:
    info = PngInfo()
    if metadata.parameters is not None:
        info.add_text(PARAMETERS_CHUNK, metadata.parameters)  # iTXt beyond Latin-1
    if metadata.request is not None:
        info.add_itxt(METADATA_CHUNK, _dump(metadata.request))
    if metadata.blocks is not None:
        info.add_itxt(BLOCKS_CHUNK, _dump(metadata.blocks), zip=True)
    return info


def _exif(metadata: Metadata) -> bytes:
    """EXIF with the user comment; what would not fit is cut or left out."""
    text = _cut(metadata.parameters or "")
    for name, value in ((METADATA_CHUNK, metadata.request), (BLOCKS_CHUNK, metadata.blocks)):
        if value is not None:
            longer = f"{text}, {name}: {_quote(_dump(value))}"
            text = longer if len(longer.encode("utf-16-be")) <= _EXIF_LIMIT else text
    exif = Image.Exif()
    exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = b"UNICODE\0" + text.encode("utf-16-be")
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


def _chunk(source: object, name: str, info: Mapping[str, str]) -> Mapping[str, Any] | None:
    if name not in info:
        return None
    try:
        value = parse_json(info[name])
    except RequestError as error:
        raise RequestError(f"{source}: its {name} is damaged: {error}") from None
    if not isinstance(value, dict):
        raise RequestError(f"{source}: its {name} is damaged: not a JSON object")
    return value


def _dump(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _quote(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if re.search(r'[,\n:"]', text) else text


def _unquote(text: str) -> str:
    if not text.startswith('"'):
        return text
    try:
        return str(json.loads(text))
    except ValueError:
        return text
