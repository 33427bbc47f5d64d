"""What the processor is said to have."""

from __future__ import annotations

import pytest
import torch

from ufc_base.computing.processor import cpu_has_bf16, cpu_has_vnni, processor_features


@pytest.mark.parametrize(
    ("flags", "bf16", "vnni"),
    [
        ({}, False, False),
        ({"avx512_bf16": True, "avx512_vnni": False}, True, False),
        ({"avx_vnni": True}, False, True),
        ({"amx_bf16": True, "amx_int8": True}, True, True),
    ],
)
def test_flags_are_read(
    flags: dict[str, bool], bf16: bool, vnni: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UFC_CPU_BF16", raising=False)
    monkeypatch.delenv("UFC_CPU_VNNI", raising=False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags, raising=False)
    assert (cpu_has_bf16(), cpu_has_vnni()) == (bf16, vnni)
    monkeypatch.setenv("UFC_CPU_BF16", str(int(not bf16)))
    monkeypatch.setenv("UFC_CPU_VNNI", str(int(not vnni)))
    assert (cpu_has_bf16(), cpu_has_vnni()) == (not bf16, not vnni)
    assert ("vnni" in processor_features()) == (not vnni)


def test_an_older_torch_is_asked_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UFC_CPU_VNNI", raising=False)
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    for name in ("avx512_bf16", "amx_tile", "vnni"):
        has = name == "vnni"
        monkeypatch.setattr(torch.cpu, f"_is_{name}_supported", lambda has=has: has, raising=False)
    assert cpu_has_vnni()
