"""What tests of pictures share: files put together by hand, and colour profiles."""

import io
import struct
import zlib
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

PNG = b"\x89PNG\r\n\x1a\n"


def encode(image: Image.Image, format: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def noise(width: int = 16, height: int = 16, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))


def chunk(tag: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))


def with_chunks(png: bytes, *chunks: bytes) -> bytes:
    """A PNG with more chunks behind its header (13 bytes of it, and 12 of its frame)."""
    end = len(PNG) + 25
    return png[:end] + b"".join(chunks) + png[end:]


def icc_chunk(profile: bytes) -> bytes:
    return chunk(b"iCCP", b"p\0\0" + zlib.compress(profile))


@cache  # it has the time in it
def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def retagged(profile: bytes, **tags: bytes) -> bytes:
    """A profile with the contents of some tags replaced by others of the same length."""
    data = bytearray(profile)
    for number in range(struct.unpack_from(">I", data, 128)[0]):
        name, at, size = struct.unpack_from(">4sII", data, 132 + 12 * number)
        body = tags.get(name.decode())
        if body is not None:
            assert len(body) == size
            data[at : at + size] = body
    return bytes(data)


def tag(profile: bytes, name: str) -> bytes:
    for number in range(struct.unpack_from(">I", profile, 128)[0]):
        found, at, size = struct.unpack_from(">4sII", profile, 132 + 12 * number)
        if found == name.encode():
            return profile[at : at + size]
    raise KeyError(name)


def swapped_profile() -> bytes:
    """sRGB with red for blue: pixels (r, g, b) have the colours of (b, g, r) in sRGB."""
    srgb = srgb_profile()
    return retagged(srgb, rXYZ=tag(srgb, "bXYZ"), bXYZ=tag(srgb, "rXYZ"))


def wide_profile() -> bytes:
    """Display P3: sRGB's curve and white, wider primaries (D50-adapted, as ICC has them)."""

    def xyz(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(v * 65536)) for v in values)

    return retagged(
        srgb_profile(),
        rXYZ=xyz(0.51512, 0.24120, -0.00105),
        gXYZ=xyz(0.29198, 0.69225, 0.04189),
        bXYZ=xyz(0.15710, 0.06657, 0.78407),
    )


def table_profile(space: bytes, lab_of: list[tuple[int, int, int]]) -> bytes:
    """A profile with a table from the corners of `space` to Lab (8 bits: L of 255, a and b + 128).

    `lab_of` has an entry a corner, the last channel changing fastest.
    """
    channels = {b"GRAY": 1, b"CMYK": 4}[space]
    assert len(lab_of) == 2**channels
    ramp = bytes(range(256))
    unit = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    lut = b"mft1\0\0\0\0" + bytes([channels, 3, 2, 0]) + unit + ramp * channels
    lut += b"".join(bytes(lab) for lab in lab_of) + ramp * 3
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)  # D50
    tags, at = [(b"A2B0", lut), (b"wtpt", white)], 128 + 4 + 24
    table = struct.pack(">I", len(tags))
    for name, body in tags:
        table += struct.pack(">4sII", name, at, len(body))
        at += len(body)
    body = table + b"".join(data for _, data in tags)
    head = struct.pack(">I4sI4s4s4s12s4s", 128 + len(body), b"lcms", 0x02400000, b"prtr", space,
                       b"Lab ", bytes(12), b"acsp")  # fmt: skip
    head += bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + body


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
