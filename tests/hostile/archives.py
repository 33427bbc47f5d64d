"""Tars that are cut short, lie about sizes, point elsewhere, or hold what is wrong itself."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
from typing import Any

from .mutation import INTEGERS, odd_json, odd_value, spoilt
from .pictures import picture, png_of, sound

RECORD: dict[str, Any] = {
    "text": "red bag", "text_zh": "红色包", "captions": ["a bag", "bag"], "type": "bag", "n": 3,
}  # fmt: skip
NAMES = (
    "../evil.png", "/abs/evil.png", "a/../../evil.png", "./p.png", "p", ".png", "p.png.txt", "", "CON.png",
    "p" * 300 + ".png", "p.caption.txt", "p.image.png", "p.mask.png", "\udc80\udcff.png", "a\nb.png",
    "__MACOSX/p.png", "p.json", "p.txt", ".hidden.png", "p.PNG", "p/q/r.webp", "p.json.png", "p..png",
)  # fmt: skip


def info_of(name: str, data: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info


def members(rng: random.Random) -> list[tuple[tarfile.TarInfo, bytes]]:
    """Samples, of which some are wrong: names, kinds of member, contents."""
    found: list[tuple[tarfile.TarInfo, bytes]] = []
    for number in range(rng.choice((1, 2, 4))):
        good = rng.random() < 0.6
        data = sound("PNG", "RGB", True) if good else picture(rng)
        found.append((info_of(f"p{number}.png", data), data))
        told = odd_json(rng, RECORD)
        found.append((info_of(f"p{number}.json", told), told))
        if rng.random() < 0.4:
            text = rng.choice((b"a bag", rng.randbytes(30), b"", b"\xff\xfe", b"\0" * 9))
            found.append((info_of(f"p{number}.txt", text), text))
    for _ in range(rng.choice((0, 1, 2))):
        place = rng.randrange(len(found))
        info, data = found[place]
        kind = rng.randrange(4)
        if kind == 0:
            info.name = rng.choice(NAMES)
        elif kind == 1:
            link = info_of(info.name, b"")
            link.type = rng.choice((tarfile.SYMTYPE, tarfile.LNKTYPE))
            link.linkname = rng.choice(("/etc/passwd", "../../etc/passwd", "p0.png", info.name))
            found[place] = link, b""
        elif kind == 2:
            other = info_of(info.name, b"")
            other.type = rng.choice(
                (tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, b"Z", b"7")
            )
            found[place] = other, b""
        else:
            found.insert(place, (info, data))
    return found


def tar_of(rng: random.Random, parts: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    stream = io.BytesIO()
    format = rng.choice((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    with tarfile.open(fileobj=stream, mode="w", format=format, errors="surrogateescape") as out:
        for info, data in parts:
            if format == tarfile.PAX_FORMAT and rng.random() < 0.2:
                info.pax_headers = {
                    rng.choice(("path", "size", "linkpath", "GNU.sparse.map", "x")): str(
                        odd_value(rng)
                    )[:200].replace("\0", "")
                }
            try:
                out.addfile(info, io.BytesIO(data))
            except (ValueError, UnicodeError):
                continue
    return stream.getvalue()


def with_checksum(data: bytes, at: int) -> bytes:
    """The tar with a sound checksum in the header at this place."""
    head = bytearray(data[at : at + 512])
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return data[:at] + bytes(head) + data[at + 512 :]


def odd_header(rng: random.Random, data: bytes) -> bytes:
    """Fields of a header changed, its checksum made sound again."""
    places = [at for at in range(0, len(data) - 511, 512) if data[at + 257 : at + 262] == b"ustar"]
    if not places:
        return spoilt(rng, data)
    at = rng.choice(places)
    start, size = rng.choice(((0, 100), (100, 8), (124, 12), (124, 12), (156, 1), (157, 100)))
    octal = b"%011o\0" % (rng.choice((*INTEGERS, 2**33 - 1)) & (8**11 - 1))
    value = rng.choice(
        (octal, b"\x80" + b"\xff" * 11, b"\xff" * 12, b"\x80" + b"\0" * 3 + b"\x7f" * 8, b"-1\0",
         rng.randbytes(size), b"L", b"K", b"x", b"g", b"S", b"1", b"2", b"../../x\0")
    )[:size]  # fmt: skip
    data = data[: at + start] + value + data[at + start + len(value) :]
    return with_checksum(data, at)


def long_names(count: int) -> bytes:
    """A chain of headers that each say that the next one has a long name."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 4
    return (info.tobuf(tarfile.GNU_FORMAT) + b"abc\0" + b"\0" * 508) * count


def tar_bomb(rng: random.Random) -> bytes:
    """Much out of little."""
    kind = rng.randrange(5)
    if kind == 0:
        return long_names(rng.choice((10, 2000))) + tar_of(rng, members(rng))
    if kind == 1:
        info = info_of("p.png", b"")
        info.size = rng.choice((2**33 - 1, 10**10, 5 * 10**8))
        head = info.tobuf(tarfile.GNU_FORMAT)
        return head + b"\0" * rng.choice((0, 512, 100_000))
    if kind == 2:
        data = png_of(8192, 8192, 16, 0)
        return tar_of(rng, [(info_of("p.png", data), data)])
    if kind == 3:
        return b"".join(info_of(f"p{n}.png", b"").tobuf() for n in range(5000))
    text = b"[" * 200_000
    good = sound("PNG", "RGB", True)
    return tar_of(rng, [(info_of("p.png", good), good), (info_of("p.json", text), text)])


def shard(rng: random.Random) -> bytes:
    """An uncompressed tar."""
    if rng.random() < 0.05:
        return tar_bomb(rng)
    data = tar_of(rng, members(rng))
    kind = rng.random()
    if kind < 0.4:
        return data
    return odd_header(rng, data) if kind < 0.75 else spoilt(rng, data)


def packed_shard(rng: random.Random) -> bytes:
    """A .tar.gz; some of them inflate to far more than they are."""
    kind = rng.random()
    if kind < 0.02:
        info = info_of("p.png", b"")
        info.size = 3 * 10**9
        stream = io.BytesIO()
        with gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=9) as out:
            out.write(info.tobuf(tarfile.GNU_FORMAT))
            for _ in range(300):
                out.write(b"\0" * 10_000_000)
        return stream.getvalue()
    packed = gzip.compress(shard(rng))
    return packed if kind < 0.7 else spoilt(rng, packed)
