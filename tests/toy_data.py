"""Small training sets, drawn here: coloured boxes with captions in two languages."""

from __future__ import annotations

import io
import json
import struct
import tarfile
import zlib
from pathlib import Path

from PIL import Image, ImageDraw

COLOURS = {"red": ("红色", (220, 30, 30)), "blue": ("蓝色", (30, 40, 220))}
KINDS = {"bag": "包", "shirt": "衬衫"}


def toy_samples(count: int) -> list[tuple[str, Image.Image, dict[str, str]]]:
    """(id, picture, record) of each sample."""
    samples = []
    for number in range(count):
        colour, kind = list(COLOURS)[number % 2], list(KINDS)[number // 2 % 2]
        zh, rgb = COLOURS[colour]
        image = Image.new("RGB", (24, 24), "white")
        box = (4, 8, 19, 20) if kind == "bag" else (8, 3, 15 + number % 3, 20)
        ImageDraw.Draw(image).rectangle(box, fill=rgb)
        record = {
            "text": f"{colour} {kind}",
            "text_zh": zh + KINDS[kind],
            "type": kind,
            "colour": colour,
        }
        samples.append((f"p{number:03d}", image, record))
    return samples


def write_folder(folder: Path, count: int = 8) -> Path:
    """An ImageFolder with metadata.jsonl."""
    folder.mkdir(parents=True)
    with (folder / "metadata.jsonl").open("w", encoding="utf-8") as stream:
        for name, image, record in toy_samples(count):
            image.save(folder / f"{name}.png")
            stream.write(json.dumps({"file_name": f"{name}.png"} | record) + "\n")
    return folder


def write_shards(folder: Path, count: int = 8, shards: int = 2, number: bool = False) -> Path:
    """WebDataset shards of ID.webp and ID.json, whose records have their `number` if asked for."""
    folder.mkdir(parents=True)
    samples = toy_samples(count)
    for shard in range(shards):
        with tarfile.open(folder / f"toy-{shard:03d}.tar", "w") as archive:
            for name, image, record in samples[shard::shards]:
                record |= {"number": name} if number else {}
                stream = io.BytesIO()
                image.save(stream, "WEBP", lossless=True)
                for suffix, data in (
                    ("webp", stream.getvalue()),
                    ("json", json.dumps(record).encode()),
                ):
                    info = tarfile.TarInfo(f"{name}.{suffix}")
                    info.size = len(data)
                    archive.addfile(info, io.BytesIO(data))
    return folder


def bomb_png(width: int, height: int) -> bytes:
    """A small file that decodes to width × height pixels."""

    def chunk(tag: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0"))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + pixels + chunk(b"IEND", b"")
