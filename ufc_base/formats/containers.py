"""Picture files taken apart: what the pixels need, and what is only said beside them.

Decoders give up on a picture whose colour profile or text is too long or damaged, though its pixels
are sound. Here the two are separated, in one pass over the bytes; what is inflated has a limit.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

MOST_INFLATED = 8 * 1024 * 1024  # bytes of one profile or text; the longest real profiles have 3 MB

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_PNG_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_JPEG_SAID = {0xE1, *range(0xE2, 0xEE), 0xEF, 0xFE}  # APP1 to APP13, APP15, COM
_JPEG_BARE = {0x01, *range(0xD0, 0xD9)}  # marks without a length
_WEBP_SAID = {b"ICCP": 0x20, b"EXIF": 0x08, b"XMP ": 0x04}  # with their flags in VP8X


@dataclass
class Parts:
    """A picture file without what it says about itself, and what that was, as far as it is sound.

    `pixels` is a file of the same format; `profile` an ICC profile; `exif` as Pillow keeps it;
    `texts` those of a PNG by keyword.
    """

    pixels: bytes
    profile: bytes | None = None
    exif: bytes | None = None
    texts: dict[str, str] = field(default_factory=dict)


def split(data: bytes) -> Parts | None:
    """The parts of a PNG, JPEG or WebP file; None of any other."""
    if data.startswith(_PNG):
        return _split_png(data)
    if data.startswith(_JPEG):
        return _split_jpeg(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _split_webp(data)
    return None


def inflate(data: bytes, limit: int = MOST_INFLATED) -> bytes | None:
    """What was deflated; None where it is damaged or longer than `limit` bytes."""
    stream = zlib.decompressobj()
    try:
        out = stream.decompress(data, limit + 1)
    except zlib.error:
        return None
    return out if stream.eof and len(out) <= limit else None


def _split_png(data: bytes) -> Parts:
    parts, kept = Parts(b""), [_PNG]
    room = 4 * MOST_INFLATED  # of all texts together
    for tag, start, end in _png_chunks(data):
        body = data[start + 8 : end - 4]
        if tag in _PNG_PIXELS or not tag[0] & 0x20:  # small first letter: may be left out
            kept.append(data[start:end])
        elif tag == b"iCCP":
            parts.profile = inflate(body.partition(b"\0")[2][1:])
        elif tag == b"eXIf":
            parts.exif = b"Exif\0\0" + body
        elif tag in (b"tEXt", b"zTXt", b"iTXt"):
            name, text = _png_text(tag, body)
            room -= len(text or "")
            if text is not None and room >= 0:
                parts.texts.setdefault(name, text)
    parts.pixels = b"".join(kept)
    return parts


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Tag, start and end of each chunk; the last one may be cut short."""
    at = len(_PNG)
    while at + 8 <= len(data):
        length, tag = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        yield tag, at, end
        if tag == b"IEND":
            return
        at = end


def _png_text(tag: bytes, body: bytes) -> tuple[str, str | None]:
    """Keyword and text of a text chunk; no text where it is damaged or too long."""
    keyword, _, rest = body.partition(b"\0")
    packed, encoding = tag == b"zTXt", "latin-1"
    if tag == b"iTXt":
        packed, encoding = rest[:1] == b"\1", "utf-8"
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    elif packed:
        rest = rest[1:]
    text = inflate(rest) if packed else rest
    if text is None or len(text) > MOST_INFLATED:
        return keyword.decode("latin-1"), None
    return keyword.decode("latin-1"), text.decode(encoding, "replace")


def _split_jpeg(data: bytes) -> Parts:
    parts, kept, profile = Parts(b""), [data[:2]], {}
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        mark = data[at + 1]
        if mark == 0xFF or mark in _JPEG_BARE:
            kept.append(data[at : at + (1 if mark == 0xFF else 2)])
            at += 1 if mark == 0xFF else 2
            continue
        end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        body = data[at + 4 : end]
        if mark == 0xDA or end < at + 4:  # pixels from here on, or no length
            break
        if mark == 0xE1 and body.startswith(b"Exif\0\0"):
            parts.exif = parts.exif or body
        elif mark == 0xE2 and body.startswith(b"ICC_PROFILE\0") and len(body) > 14:
            profile[body[12]] = body[14:]
        if mark not in _JPEG_SAID:
            kept.append(data[at:end])
        at = end
    parts.pixels = b"".join([*kept, data[at:]])
    parts.profile = b"".join(profile[place] for place in sorted(profile)) or None
    return parts


def _split_webp(data: bytes) -> Parts:
    parts, kept, at = Parts(b""), [], 12
    while at + 8 <= len(data):
        tag, length = struct.unpack_from("<4sI", data, at)
        end = at + 8 + length + length % 2
        body = data[at + 8 : at + 8 + length]
        if tag == b"VP8X" and body:
            flags = body[0] & ~sum(_WEBP_SAID.values()) & 0xFF
            kept.append(data[at : at + 8] + bytes([flags]) + data[at + 9 : end])
        elif tag == b"ICCP":
            parts.profile = body
        elif tag == b"EXIF":
            parts.exif = body
        elif tag not in _WEBP_SAID:
            kept.append(data[at:end])
        at = end
    inside = b"WEBP" + b"".join(kept)
    parts.pixels = b"RIFF" + struct.pack("<I", len(inside)) + inside
    return parts
