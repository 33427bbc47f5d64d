"""Weights and arrays that are wrong: safetensors, pickles that would run code, archives of numpy."""

from __future__ import annotations

import io
import json
import pickle
import random
import struct
import zipfile
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from .mutation import INTEGERS, odd_json, odd_value, spell, spoilt

# safetensors


def safetensors_of(rng: random.Random, data: bytes) -> bytes:
    """A file whose header says other things, with a sound length."""
    length = struct.unpack_from("<Q", data)[0]
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    kind = rng.randrange(8)
    if kind == 0:
        return spoilt(rng, data)
    if kind == 1:
        return struct.pack("<Q", rng.choice((*INTEGERS, 2**63, 2**64 - 1))) + data[8:]
    names = [name for name in header if name != "__metadata__"]
    name = rng.choice(names)
    entry = header[name]
    if kind == 2:
        entry["dtype"] = rng.choice(("F64", "F4", "I8", "BOOL", "F8_E5M2", "C64", "", 3, None))
    elif kind == 3:
        entry["shape"] = rng.choice(
            ([], [0], [-1], [2**32, 2**32], [2**62], [10**30], ["1"], None, 5, [1] * 1000)
        )
    elif kind == 4:
        entry["data_offsets"] = rng.choice(([0, 0], [0, 2**62], [8, 4], [-4, 0], [0], None, "x"))
    elif kind == 5:
        header[rng.choice(("x", "", "../x", "__metadata__", "x" * 9999))] = rng.choice(
            (entry, {}, None, {"a": 1}, {"format": "pt"}, [1])
        )
    elif kind == 6:
        del header[name]
    else:
        text = odd_json(rng, header)
        return struct.pack("<Q", len(text)) + text + body
    text = spell(header).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text)) + text + body


def codes_file() -> bytes:
    return save({"codes": torch.zeros(2, 3, 16, dtype=torch.int16)}, metadata={"key": "k"})


# Pickles


def code_calls(rng: random.Random) -> bytes:
    """A pickle that calls something, by the opcodes themselves."""
    module, name, argument = rng.choice(
        (
            ("hostile.canary", "sing", "x"),
            ("os", "system", "touch /tmp/hostile-was-here"),
            ("posix", "system", "touch /tmp/hostile-was-here"),
            ("builtins", "eval", "__import__('hostile.canary').canary.sing('x')"),
            ("builtins", "exec", "import hostile.canary; hostile.canary.sing('x')"),
            ("builtins", "open", "hostile-was-here"),
            ("builtins", "bytearray", 10**11),
            ("builtins", "__import__", "hostile.canary"),
            ("subprocess", "Popen", "true"),
            ("torch", "load", "x"),
            ("torch.hub", "load", "x"),
            ("torch._utils", "_rebuild_tensor_v2", "x"),
            ("torch", "Tensor", 10**10),
            ("torch.serialization", "_get_layout", "x"),
            ("collections", "OrderedDict", "x"),
            ("collections", "Counter", "x"),
            ("numpy", "load", "x"),
            ("numpy.core.multiarray", "_reconstruct", "x"),
            ("webbrowser", "open", "http://localhost/"),
            ("x" * 5000, "y\x1b[31m", "x"),
        )
    )
    value = pickle.dumps(argument, 2)[2:-1]
    call = f"c{module}\n{name}\n".encode() + value + b"\x85R"
    if rng.random() < 0.3:
        call += b"}" + pickle.dumps({"a": 1}, 2)[2:-1] + b"b"
    return call


def pickled(rng: random.Random, good: bytes) -> bytes:
    """A data.pkl: a sound one with a call inside, one that asks for much, or a spoilt one."""
    kind = rng.randrange(8)
    deep = rng.choice((1, 40, 2000))
    if kind == 0:
        return b"\x80\x02" + code_calls(rng) + b"."
    if kind == 1:  # the call, then what is expected
        return b"\x80\x02" + code_calls(rng) + b"0" + good[2:]
    if kind == 2:  # a tuple of itself twice, so often, as a name: to hash it is to walk it
        twice = b"".join(b"q%c2\x86" % n if n < 200 else b"2\x86" for n in range(deep % 100))
        return b"\x80\x02})" + twice + b"K\x01s."
    if kind == 3:
        return b"\x80\x02" + b"]" * deep + b"a" * (deep - 1) + b"."
    if kind == 4:  # a place in the memo far behind the last
        place = rng.choice((2**16, 2**31 - 1, 2**32 - 1))
        return b"\x80\x02]r" + struct.pack("<I", place) + b"."
    if kind == 5:
        return b"\x80\x04\x8e" + struct.pack("<Q", rng.choice((2**40, 2**63))) + b"x."
    if kind == 6:
        return pickle.dumps({"state_dict": {"a": odd_value(rng), 3: None}, "b": odd_value(rng)}, 2)
    return spoilt(rng, good)


def zip_of(files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


def unzipped(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def torch_file(rng: random.Random, good: bytes) -> bytes:
    """What `torch.save` wrote, with another pickle, other files, or spoilt as a whole."""
    if rng.random() < 0.15:
        return spoilt(rng, good)
    if rng.random() < 0.05:
        return rng.choice((pickled(rng, b"\x80\x02}."), b"\x80\x02" + code_calls(rng) + b"."))
    files = unzipped(good)
    name = next(name for name in files if name.endswith("data.pkl"))
    root = name.removesuffix("data.pkl")
    kind = rng.randrange(8)
    if kind < 4:
        files[name] = pickled(rng, files[name])
    elif kind == 4:
        data = [n for n in files if "/data/" in n] or [name]
        chosen = rng.choice(data)
        files[chosen] = rng.choice((b"", files[chosen][:-1], files[chosen] * 2, b"\0" * 10_000_000))
        return zip_of(files, rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))
    elif kind == 5:
        files[rng.choice(("../evil", "/abs", root + "data/../../evil", root + "x/data.pkl"))] = b"x"
    elif kind == 6:
        del files[rng.choice(list(files))]
    else:
        whole = bytearray(zip_of(files))  # the list at the end says other sizes and places
        at = whole.rfind(b"PK\x01\x02")
        where = at + rng.choice((8, 10, 20, 24, 28, 42))
        whole[where : where + 4] = struct.pack("<I", rng.choice(INTEGERS))
        return bytes(whole)
    return zip_of(files)


def zeros_bomb(size: int, root: str = "archive") -> bytes:
    """A file of `torch.save` with one deflated storage of so many zeros."""
    stream = io.BytesIO()
    torch.save({"state_dict": {"w": torch.zeros(4)}}, stream)
    files = unzipped(stream.getvalue())
    name = next(name for name in files if name.endswith("data.pkl"))
    count = struct.pack("<I", size // 4)
    files[name] = files[name].replace(b"K\x04tq", b"J" + count + b"tq", 1)
    data = next(n for n in files if n.endswith("/data/0"))
    files[data] = b"\0" * size
    return zip_of(files, zipfile.ZIP_DEFLATED)


# Arrays of numpy


def statistics_arrays(features: int = 4) -> dict[str, Any]:
    return {"mu": np.zeros(features), "sigma": np.eye(features), "count": np.array(9),
            "about": np.array("tiny 16")}  # fmt: skip


def npz_of(arrays: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def odd_array(rng: random.Random) -> Any:
    return rng.choice(
        (
            np.array(None, dtype=object), np.array([{}, 1], dtype=object), np.array("x" * 100),
            np.array([]), np.zeros((0, 4)), np.zeros((2, 3, 4)), np.array(np.nan), np.array([np.inf] * 4),
            np.array(2**63, np.uint64), np.array(-1), np.array(1 + 2j), np.array(True), np.array(b"\xff"),
            np.array(["a", "b"]), np.array(["a"] * 2000), np.zeros(4, [("a", "f8"), ("b", "U3")]),
            np.array("2020-01-01", "M8[D]"), np.zeros((64, 64), np.int8), np.array('{"passes": []}'),
            np.array("[" * 100_000), np.array('{"a": 1}'),
        )
    )  # fmt: skip


def npy_header(shape: str, dtype: str = "<f8", version: int = 1) -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY" + bytes((version, 0)) + struct.pack("<H", len(text)) + text


def arrays_file(rng: random.Random, arrays: dict[str, Any]) -> bytes:
    """An .npz whose arrays, headers, members or bytes are wrong."""
    kind, names = rng.randrange(9), list(arrays)
    name = rng.choice(names)
    if kind < 3:
        changed = dict(arrays)
        for _ in range(rng.choice((1, 1, 2))):
            changed[rng.choice(names)] = odd_array(rng)
        return npz_of(changed)
    if kind == 3:
        return npz_of({n: v for n, v in arrays.items() if n != name})
    if kind == 4:
        return spoilt(rng, npz_of(arrays))
    files = unzipped(npz_of(arrays))
    member = f"{name}.npy"
    if kind == 5:
        shape = rng.choice(
            ("(10000000000,)", "(2, -1)", "(9,) * 9", "()", "(" * 90 + ")" * 90, "[1]", "(0,)",
             "(100000, 100000)", "(1e3,)", "(True,)", "(10**9,)", "('a',)", "(" + "1," * 5000 + ")")
        )  # fmt: skip
        dtype = rng.choice(("<f8", "|O", "<U99999999", "|V8", "x", "<f8", "<f8", "|S0"))
        files[member] = npy_header(shape, dtype) + b"\0" * 64
    elif kind == 6:
        files[member] = spoilt(rng, files[member])
    elif kind == 7:
        files[rng.choice(("../evil.npy", "/abs.npy", "x.npy", member + "x"))] = files[member]
        return zip_of(files, zipfile.ZIP_DEFLATED)
    else:
        files[member] = rng.choice((b"", b"\x80\x04" + code_calls(rng) + b".", files[member][:40]))
    return zip_of(files)


def arrays_bomb(name: str, arrays: dict[str, Any], size: int = 3 * 2**30) -> bytes:
    """An .npz whose array is some gigabytes of zeros, in a few megabytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for other, data in unzipped(npz_of(arrays)).items():
            if other != f"{name}.npy":
                archive.writestr(other, data)
        with archive.open(f"{name}.npy", "w", force_zip64=True) as out:
            out.write(npy_header(f"({size // 8},)"))
            for _ in range(size >> 24):
                out.write(b"\0" * (1 << 24))
    return stream.getvalue()
