"""Pictures that are wrong: in headers, bodies, what they say of themselves, and in size."""

from __future__ import annotations

import io
import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageCms, features
from PIL.PngImagePlugin import PngInfo

from .mutation import INTEGERS, odd_json, odd_value, spoilt

PNG = b"\x89PNG\r\n\x1a\n"
MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "JPEG": ("L", "RGB", "CMYK"),
    "WEBP": ("RGB", "RGBA"),
    "GIF": ("L", "P", "RGB"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F", "LAB"),
    "BMP": ("1", "L", "P", "RGB"),
    "PPM": ("1", "L", "RGB", "I;16"),
    "ICO": ("RGBA",),
    "JPEG2000": ("L", "RGB", "RGBA"),
    "AVIF": ("RGB", "RGBA"),
}
SUFFIX = {"JPEG2000": "jp2", "JPEG": "jpg"}


def formats() -> list[str]:
    """The formats that this Pillow writes."""
    missing = {"AVIF": "avif", "JPEG2000": "jpg_2000"}
    return [n for n in MODES if n not in missing or features.check(missing[n])]


def image_of(mode: str, width: int = 13, height: int = 9, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    colours = Image.fromarray(rng.integers(0, 256, (height, width, 4), np.uint8))
    if mode in ("I;16", "I", "F"):
        values = rng.integers(0, 65536, (height, width))
        kinds = {"I;16": np.uint16, "I": np.int32, "F": np.float32}
        return Image.fromarray(values.astype(kinds[mode]))
    if mode == "LAB":
        return Image.merge("LAB", colours.convert("RGB").split())
    if mode in ("RGBA", "LA"):
        return colours.convert(mode)
    return colours.convert("RGB").convert(mode)


@cache
def profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@cache
def exif() -> bytes:
    found = Image.Exif()
    found[0x0112] = 6
    found[0x010E] = "a picture"
    found.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + 'bag\nSteps: 4, ufc_metadata: "{}"'.encode(
        "utf-16-be"
    )
    return found.tobytes()


@cache
def sound(format: str, mode: str, plain: bool = False) -> bytes:
    """A sound file, with profile, EXIF and text where the format has them."""
    options: dict[str, Any] = {}
    if not plain and format in ("PNG", "JPEG", "WEBP", "TIFF", "AVIF"):
        options = {"exif": exif(), "icc_profile": profile()}
    if format == "WEBP" and mode == "RGB":
        options["lossless"] = True
    if format == "TIFF" and mode in ("L", "RGB"):
        options = {"compression": "tiff_lzw"}  # Pillow writes no EXIF beside it
    if format == "JPEG" and mode == "RGB":
        options["progressive"] = True
    if format == "PNG" and not plain:
        info = PngInfo()
        info.add_text("parameters", "bag\nSteps: 4, Seed: 1", zip=True)
        info.add_itxt("ufc_metadata", '{"format": 1}')
        options["pnginfo"] = info
    stream = io.BytesIO()
    image_of(mode).save(stream, format, **options)
    return stream.getvalue()


# PNG by its chunks


def chunk(tag: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))


def chunks_of(png: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], len(PNG)
    while at + 8 <= len(png):
        length, tag = struct.unpack_from(">I4s", png, at)
        found.append((tag, png[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def joined(chunks: list[tuple[bytes, bytes]]) -> bytes:
    return PNG + b"".join(chunk(tag, body) for tag, body in chunks)


def png(rng: random.Random) -> bytes:
    """A PNG with sound checksums, whose chunks are wrong."""
    chunks = chunks_of(sound("PNG", rng.choice(MODES["PNG"])))
    for _ in range(rng.choice((1, 1, 2, 3))):
        place, kind = rng.randrange(len(chunks)), rng.randrange(9)
        tag, body = chunks[place]
        if kind == 0:
            width, height = rng.choice(INTEGERS), rng.choice(INTEGERS)
            rest = bytes(rng.choice((0, 1, 2, 3, 4, 6, 8, 16, 255)) for _ in range(5))
            head = struct.pack(">II", width, height)
            chunks[0] = (b"IHDR", head + (rest if rng.random() < 0.5 else chunks[0][1][8:]))
        elif kind == 1:
            chunks[place] = tag, spoilt(rng, body)
        elif kind == 2:
            chunks.insert(rng.randrange(len(chunks) + 1), chunks[place])
        elif kind == 3 and place:
            chunks.pop(place)
        elif kind == 4:
            rng.shuffle(chunks[1:])
            chunks[1:] = rng.sample(chunks[1:], len(chunks) - 1)
        elif kind == 5:
            chunks.insert(1, (b"iCCP", b"p\0\0" + zlib.compress(spoilt(rng, profile()))))
        elif kind == 6:
            chunks.insert(1, (b"eXIf", spoilt(rng, exif()[6:])))
        elif kind == 7:
            text = rng.choice((b"a" * 100_000, spoilt(rng, b"ufc_metadata\0{}" * 9), b"\0" * 99))
            name = rng.choice((b"parameters", b"ufc_metadata", b"ufc_blocks", b"", b"x" * 90))
            chunks.insert(1, (b"zTXt", name + b"\0\0" + zlib.compress(text)))
        else:
            tags = (b"tRNS", b"PLTE", b"gAMA", b"acTL", b"fcTL", b"fdAT", b"CgBI", b"\xff\xff\0\1")
            chunks.insert(rng.randrange(1, len(chunks) + 1), (rng.choice(tags), rng.randbytes(9)))
    return joined(chunks)


# JPEG by its segments


def segment(mark: int, body: bytes) -> bytes:
    return bytes((0xFF, mark)) + struct.pack(">H", min(65535, len(body) + 2)) + body[:65533]


def segments_of(jpeg: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    found, at = [], 2
    while jpeg[at + 1] != 0xDA:
        length = struct.unpack_from(">H", jpeg, at + 2)[0]
        found.append((jpeg[at + 1], jpeg[at + 4 : at + 2 + length]))
        at += 2 + length
    return found, jpeg[at:]


def jpeg(rng: random.Random) -> bytes:
    """A JPEG whose segments are wrong, with sound lengths."""
    parts, scans = segments_of(sound("JPEG", rng.choice(MODES["JPEG"])))
    for _ in range(rng.choice((1, 1, 2, 3))):
        place, kind = rng.randrange(len(parts)), rng.randrange(7)
        mark, body = parts[place]
        if kind == 0:
            parts[place] = mark, spoilt(rng, body)
        elif kind == 1:
            parts.insert(place, parts[rng.randrange(len(parts))])
        elif kind == 2:
            parts.pop(place)
        elif kind == 3:
            frames = [n for n, (m, b) in enumerate(parts) if m in (0xC0, 0xC2) and len(b) > 5]
            for number in frames:
                m, b = parts[number]
                side = struct.pack(">HH", rng.choice((0, 1, 9, 65500)), rng.choice((0, 1, 65500)))
                parts[number] = m, b[:1] + side + b[5:]
        elif kind == 4:
            parts.insert(0, (0xE1, spoilt(rng, exif())))
        elif kind == 5:
            numbers = bytes((rng.choice((0, 1, 2, 255)), rng.choice((0, 1, 3))))
            parts.insert(0, (0xE2, b"ICC_PROFILE\0" + numbers + spoilt(rng, profile())))
        else:
            scans = spoilt(rng, scans)
        if not parts:
            break
    return b"\xff\xd8" + b"".join(segment(mark, body) for mark, body in parts) + scans


def webp(rng: random.Random) -> bytes:
    """A WebP whose chunks are wrong."""
    data = sound("WEBP", rng.choice(MODES["WEBP"]))
    parts, at = [], 12
    while at + 8 <= len(data):
        tag, length = struct.unpack_from("<4sI", data, at)
        parts.append((tag, data[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2
    for _ in range(rng.choice((1, 1, 2))):
        place, kind = rng.randrange(len(parts)), rng.randrange(4)
        tag, body = parts[place]
        if kind < 2:
            parts[place] = tag, spoilt(rng, body)
        elif kind == 2:
            parts.insert(place, rng.choice(parts))
        else:
            parts.append((rng.choice((b"EXIF", b"ICCP", b"XMP ", b"ANIM")), spoilt(rng, exif())))
    inside = b"WEBP"
    for tag, body in parts:
        inside += struct.pack("<4sI", tag, len(body)) + body + b"\0" * (len(body) % 2)
    return b"RIFF" + struct.pack("<I", len(inside)) + inside


def tiff(rng: random.Random) -> bytes:
    """A TIFF whose tags have other types, counts and values."""
    data = bytearray(sound("TIFF", rng.choice(MODES["TIFF"])))
    start = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, start)[0]
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = start + 2 + 12 * rng.randrange(max(1, count))
        if at + 12 > len(data):
            break
        where, form = rng.choice(((0, "<H"), (2, "<H"), (4, "<I"), (8, "<I"), (8, "<I")))
        value = rng.choice((*INTEGERS, rng.randrange(65536), len(data)))
        struct.pack_into(form, data, at + where, value & (256 ** struct.calcsize(form) - 1))
    return bytes(data) if rng.random() < 0.8 else spoilt(rng, bytes(data))


def any_format(rng: random.Random) -> bytes:
    format = rng.choice(formats())
    return spoilt(rng, sound(format, rng.choice(MODES[format]), rng.random() < 0.5))


def wrong_kind(rng: random.Random) -> bytes:
    """What is no picture that is read here, under whatever name."""
    head = rng.choice(
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run", b"<svg xmlns='x'/>", b"GIF89a",
         b"#!/bin/sh\necho", b"P6\n99999 99999\n255\n", b"P3\n2 2\n255\n1 2 3 # x", b"P7\n", b"", b"II*\0",
         b"MM\0*", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBP", b"BM", b"\0\0\1\0\1\0",
         b"8BPS\0\1", b"SIMPLE  =", b"\x80\x04cos\nsystem\n", b"PK\3\4", b"\xff\x4f\xff\x51")
    )  # fmt: skip
    return head + rng.randbytes(rng.choice((0, 4, 100, 3000)))


STRUCTURED: dict[str, Callable[[random.Random], bytes]] = {
    "png": png, "jpeg": jpeg, "webp": webp, "tiff": tiff,
}  # fmt: skip


def picture(rng: random.Random) -> bytes:
    """Any of these."""
    kinds = (png, jpeg, webp, tiff, any_format, any_format, any_format, wrong_kind)
    return rng.choice(kinds)(rng)


# What a picture says of itself


def blocks(rng: random.Random) -> dict[str, Any]:
    side = rng.choice((1, 2, 4))
    cells = side * side
    return {
        "format": rng.choice((1, 2, 2, 2)),
        "grid": rng.choice((side, [side, side])),
        "codes": [rng.randrange(16) for _ in range(cells)],
        "confidence": [rng.random() for _ in range(cells)],
        "provenance": [{"kept": False, "step": 1, "candidate": 0, "seed": 3}] * cells,
        "pixels_sha256": "ab" * 32,
        "codebook_sha256": "ab" * 6,
    }


REQUEST = {
    "format": 1,
    "request": {
        "id": "0001", "prompt": "a red bag", "negative_prompt": "blue", "seed": 3,
        "num_inference_steps": 4, "guidance_scale": 3.0, "order": "pnag", "temperature": 1.0,
        "preserve_blocks": [0, 1], "image": {"sha256": "ab" * 32},
        "reference_images": [{"sha256": "cd" * 32, "weight": 0.5}],
    },
    "width": 64, "height": 64, "compliance": 0.5, "fidelity": 0.4, "steps": 4, "model": "x",
    "versions": {"ufc": "0.1.0"}, "curves": [{"compliance": 0.1}],
}  # fmt: skip


def own_metadata(rng: random.Random) -> tuple[str, bytes]:
    """Suffix and bytes of a sound picture with our chunks, whose JSON is wrong."""
    request = json.loads(json.dumps(REQUEST))
    if rng.random() < 0.5:
        request["request"] = {"prompt": "a bag", "seed": 1}
    said = {
        "parameters": rng.choice((b"bag\nSteps: 4", rng.randbytes(50), b"\n" * 1000)),
        "ufc_metadata": odd_json(rng, request),
        "ufc_blocks": odd_json(rng, blocks(rng)),
    }
    if rng.random() < 0.3:
        inner = odd_json(rng, request["request"])
        said["ufc_metadata"] = b'{"format": 1, "request": ' + inner + b"}"
    chunks = chunks_of(sound("PNG", "RGB", True))
    for name, text in said.items():
        packed = rng.random() < 0.5
        head = name.encode() + b"\0" + (b"\1\0" if packed else b"\0\0") + b"\0\0"
        body = zlib.compress(text) if packed else text
        for _ in range(rng.choice((0, 1, 1, 1, 2))):
            chunks.insert(1, (b"iTXt", head + body))
    if rng.random() < 0.7:
        return "png", joined(chunks)
    words = b"bag\nSteps: 4"
    for name in ("ufc_metadata", "ufc_blocks"):
        text = said[name].decode("utf-8", "replace")
        quoted = json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass")
        words += f", {name}: ".encode() + quoted
    if rng.random() < 0.3:
        words = spoilt(rng, words)
    comment = words.decode("utf-8", "replace").encode("utf-16-be")[:50_000]
    found = Image.Exif()
    found.get_ifd(0x8769)[0x9286] = rng.choice((b"UNICODE\0", b"ASCII\0\0\0", b"")) + comment
    data = found.tobytes()
    format, suffix = rng.choice((("JPEG", "jpg"), ("WEBP", "webp")))
    stream = io.BytesIO()
    image_of("RGB").save(stream, format, exif=spoilt(rng, data) if rng.random() < 0.2 else data)
    return suffix, stream.getvalue()


# Bombs: small files that ask for much


def png_of(width: int, height: int, depth: int, colour: int, interlaced: bool = False) -> bytes:
    """A sound PNG of zeros."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row = 1 + (width * channels * depth + 7) // 8
    packer = zlib.compressobj(9)
    body = b"".join(packer.compress(b"\0" * row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    palette = [(b"PLTE", b"\0\0\0\xff\xff\xff")] if colour == 3 else []
    return joined([(b"IHDR", head), *palette, (b"IDAT", body), (b"IEND", b"")])


def many_scans(rng: random.Random, count: int) -> bytes:
    """A progressive JPEG with its last scan again and again, of a size that is allowed."""
    stream = io.BytesIO()
    side = rng.choice((1000, 4000))
    Image.new("L", (side, side), 128).save(stream, "JPEG", progressive=True)
    data = stream.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + data[-2:]


def ico_of(inside: bytes) -> bytes:
    head = struct.pack("<HHH", 0, 1, 1)
    return head + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(inside), 22) + inside


def tiff_of(width: int, height: int, bits: int) -> bytes:
    """A TIFF without compression whose strip is far shorter than it says."""
    tags = [(256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, 1),
            (273, 4, 8), (277, 3, 1), (278, 4, height), (279, 4, width * height * bits // 8)]  # fmt: skip
    body = b"".join(struct.pack("<HHII", tag, kind, 1, v & 0xFFFFFFFF) for tag, kind, v in tags)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + body + b"\0" * 4


def text_bomb(rng: random.Random) -> bytes:
    chunks = chunks_of(sound("PNG", "RGB", True))
    packed = zlib.compress(b"[" * 50_000_000, 9)
    kinds = (
        (b"zTXt", b"ufc_blocks\0\0" + packed), (b"iCCP", b"p\0\0" + packed),
        (b"iTXt", b"ufc_metadata\0\1\0\0\0" + packed),
    )  # fmt: skip
    for _ in range(rng.choice((1, 3, 30))):
        chunks.insert(1, rng.choice(kinds))
    return joined(chunks)


def many_chunks(rng: random.Random) -> bytes:
    chunks = chunks_of(sound("PNG", "RGB", True))
    return joined([chunks[0], *[(b"tEXt", b"k%d\0v" % n) for n in range(100_000)], *chunks[1:]])


def bomb(rng: random.Random) -> bytes:
    """A file whose pixels, text or passes are more than its bytes let expect."""
    allowed, beyond = (8000, 8000), (30_000, 30_000)
    size = rng.choice((allowed, allowed, beyond, (1, 64_000_000), (64_000_000, 1)))
    depth, colour = rng.choice(((1, 0), (8, 0), (16, 0), (8, 2), (16, 2), (8, 3), (8, 6), (16, 6)))
    kinds: tuple[Callable[[], bytes], ...] = (
        lambda: png_of(*(size if size != beyond else (12_000, 12_000)), depth, colour),
        lambda: png_of(*allowed, depth, colour),
        lambda: png_of(6000, 6000, depth, colour, True),
        lambda: many_scans(rng, rng.choice((50, 2000))),
        lambda: ico_of(png_of(rng.choice((8000, 12_000)), 8000, 8, 6)),
        lambda: tiff_of(*size, rng.choice((1, 8, 16, 32))),
        lambda: text_bomb(rng),
        lambda: many_chunks(rng),
        lambda: b"P3\n7000 7000\n255\n" + b"1 " * 2_000_000,
        lambda: b"P1\n#" + b"x" * 5_000_000 + b"\n10 10\n" + b"1" * 100,
        lambda: b"P6\n8000 8000\n255\n" + b"\0" * 1000,
        lambda: b"GIF89a" + struct.pack("<HH", 65535, 65535) + sound("GIF", "L")[10:],
        lambda: joined([(b"IHDR", struct.pack(">II", *beyond) + b"\x08\x02\0\0\0"), (b"IDAT", b"x")]),
    )  # fmt: skip
    return rng.choice(kinds)()


def large_bodies() -> Iterator[bytes]:
    """The largest picture that is allowed, in every depth that costs memory."""
    for depth, colour in ((16, 0), (8, 6), (16, 6), (8, 3)):
        yield png_of(8192, 8192, depth, colour)


def odd_text(rng: random.Random) -> str:
    return str(odd_value(rng))
