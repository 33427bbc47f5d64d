"""What this processor multiplies by itself, which decides what numbers are worth computing with.

`.ci/processor` prints the same of a file such as /proc/cpuinfo, without Python.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch


def cpu_has_bf16() -> bool:
    """Whether this processor multiplies bf16 matrices itself (AVX512-BF16 or AMX).

    `UFC_CPU_BF16` set to 0 or 1 is believed instead: the tests run under both answers.
    """
    return _answer("UFC_CPU_BF16", ("avx512_bf16", "amx_bf16"))


def cpu_has_vnni() -> bool:
    """Whether this processor adds up products of 8-bit numbers in 32 bits (VNNI or AMX).

    `UFC_CPU_VNNI` set to 0 or 1 is believed instead.
    """
    return _answer("UFC_CPU_VNNI", ("avx512_vnni", "avx_vnni", "amx_int8"))


def processor_features() -> list[str]:
    """Those that change speed or rounding here: the vector unit, then `bf16` and `vnni`."""
    found = [torch.backends.cpu.get_cpu_capability().lower().replace(" ", "_")]
    found += ["bf16"] * cpu_has_bf16() + ["vnni"] * cpu_has_vnni()
    return found


def _answer(variable: str, flags: tuple[str, ...]) -> bool:
    forced = os.environ.get(variable)
    if forced in ("0", "1"):
        return forced == "1"
    return any(_capabilities().get(flag, False) for flag in flags)


def _capabilities() -> Mapping[str, Any]:
    """Flags of the processor by name. Only those asked for here, where torch is an older one."""
    if hasattr(torch.cpu, "get_capabilities"):
        return torch.cpu.get_capabilities()
    tests = {
        "avx512_bf16": "_is_avx512_bf16_supported",
        "amx_bf16": "_is_amx_tile_supported",
        "avx512_vnni": "_is_vnni_supported",
    }
    return {flag: getattr(torch.cpu, test, bool)() for flag, test in tests.items()}
