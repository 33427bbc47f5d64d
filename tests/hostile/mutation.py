"""Spoiling what was sound: bytes anywhere, and values of JSON."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from typing import Any

INTEGERS = (0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1)
DEEP = 100_000


def flip_bits(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        if out:
            out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def odd_integer(rng: random.Random, data: bytes) -> bytes:
    """A field of 1, 2, 4 or 8 bytes at its ends of range, anywhere but more often at the front."""
    if len(data) < 9:
        return data + b"\xff" * 4
    width = rng.choice("BHIQ")
    size = struct.calcsize(width)
    value = rng.choice(INTEGERS) & (256**size - 1)
    at = rng.randrange(min(len(data), 128) if rng.random() < 0.6 else len(data))
    field = struct.pack(rng.choice("<>") + width, value)
    return data[:at] + field + data[at + size :]


def truncated(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def spliced(rng: random.Random, data: bytes) -> bytes:
    """A piece of it again, somewhere else."""
    start, at = rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)
    return data[:at] + data[start : start + rng.randrange(1, 64)] + data[at:]


def cut_out(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[at + rng.randrange(1, 64) :]


def with_tail(rng: random.Random, data: bytes) -> bytes:
    return data + rng.randbytes(rng.choice((1, 16, 1000)))


SPOIL: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    flip_bits, flip_bits, odd_integer, odd_integer, truncated, spliced, cut_out, with_tail,
)  # fmt: skip


def spoilt(rng: random.Random, data: bytes) -> bytes:
    """The bytes with one to three things wrong."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = rng.choice(SPOIL)(rng, data)
    return data


class Raw(str):
    """Text that stands in JSON as it is, without quotation marks."""


def odd_value(rng: random.Random) -> Any:
    """A value that nobody asked for."""
    return rng.choice(
        (
            None, True, False, 0, 1, -1, 0.5, -0.0, 2**31, 2**53, 2**63, -(2**70), 1e308,
            Raw("1e999"), Raw("NaN"), Raw("-Infinity"), Raw("9" * 5000), Raw("-" + "1" * 400),
            "", " ", "a", "0", "-1", "1e999", "\0", "\x1b[31mred", "\u202eabc", "a\nb", "\u2028",
            Raw('"\\ud800"'), Raw('"\\udfff\\ud800"'), "ﷺ" * 50, "👍🏽" * 20, "x" * 10_000, "0-" * 500,
            "../../etc/passwd", "/etc/passwd", "C:\\con", "con.png", "a/../../b.png", "~root/x.png",
            ".", "..", "nul", "a" * 300 + ".png", "%s%n{0}", "http://localhost/x", "pipe:id",
            [], [[]], [None], [0, [1, [2]]], [-1], [10**30], ["x"] * 3, list(range(2000)),
            {}, {"a": {}}, {"": 1}, {"__class__": "os.system"}, {"file_name": 3},
        )
    )  # fmt: skip


def spell(value: Any) -> str:
    """JSON of a value, with `Raw` text as it is."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)}: {spell(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(spell, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def odd_object(rng: random.Random, value: dict[str, Any]) -> dict[str, Any]:
    """An object with something wrong: values, missing and unknown names, values of other names."""
    out = dict(value)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        names = list(out) or ["a"]
        name, kind = rng.choice(names), rng.randrange(8)
        inner = out.get(name)
        if kind < 4:
            out[name] = odd_value(rng)
        elif kind == 4:
            out.pop(name, None)
        elif kind == 5:
            out[str(odd_value(rng))[:400]] = odd_value(rng)
        elif kind == 6:
            out[name] = out.get(rng.choice(names))
        elif isinstance(inner, dict):
            out[name] = odd_object(rng, inner)
        elif isinstance(inner, list) and inner:
            changed = list(inner)
            place = rng.randrange(len(changed))
            item = changed[place]
            changed[place] = odd_object(rng, item) if isinstance(item, dict) else odd_value(rng)
            out[name] = changed
    return out


def odd_json(rng: random.Random, value: dict[str, Any]) -> bytes:
    """A line of JSON, wrong in its values or, once in four times, in its spelling."""
    text = spell(odd_object(rng, value) if rng.random() < 0.85 else value)
    if rng.random() < 0.75:
        return text.encode("utf-8", "surrogatepass")
    return odd_spelling(rng, text)


def odd_spelling(rng: random.Random, text: str) -> bytes:
    """JSON text that is none, or in another encoding."""
    data = text.encode("utf-8", "surrogatepass")
    deep = rng.choice((50, 1_000, DEEP))
    return rng.choice(
        (
            lambda: spoilt(rng, data),
            lambda: data[:-1] + b", " + data[1:],  # every name twice
            lambda: data[:-1] + b",}",
            lambda: b"\xef\xbb\xbf" + data,
            lambda: text.encode("utf-16", "surrogatepass"),
            lambda: data.replace(b'"', b"'"),
            lambda: data + b" " + data,
            lambda: b"[" * deep,
            lambda: b'{"a":' * deep,
            lambda: b'{"prompt": "x", "id": ' + b"[" * deep + b"]" * deep + b"}",
            lambda: data.replace(b": ", b":\t\r"),
            lambda: b"[" + data + b"]",
            lambda: b"null",
            lambda: b'"' + b"\\" * 9999,
            lambda: b"\0" * 100,
            lambda: b"",
        )
    )()
