"""Moving a pipeline: what is not asked for stays, and what fails changes nothing."""

from __future__ import annotations

import pytest
import torch
from conftest import make_pipeline
from torch import nn

from ufc.pipeline import UFCPipeline


def state(pipe: UFCPipeline) -> dict[str, object]:
    names = ("device", "precision", "low_mem", "cpu_offload", "compiled", "backend", "dtype")
    return {name: getattr(pipe, name) for name in names}


def tensors(pipe: UFCPipeline) -> list[torch.Tensor]:
    parts = (pipe.tokenizer, pipe.transformer)
    return [*pipe.alike, *(tensor for part in parts for tensor in part.state_dict().values())]


def test_what_is_not_asked_for_stays() -> None:
    pipe = make_pipeline().to("cpu", "bf16", "math", low_mem=True)
    before = state(pipe)
    assert before["precision"] == "bf16" and before["low_mem"] and before["backend"] == "math"
    assert state(pipe.to("cpu")) == before == state(pipe.to())
    assert state(pipe.to(low_mem=False)) == before | {"low_mem": False}
    after = state(pipe.to(dtype="fp32"))
    assert (after["precision"], after["dtype"]) == ("fp32", torch.float32)
    assert after["backend"] == "math"
    assert make_pipeline().to("cpu").precision == "fp32"


def test_int8_stays_int8_until_something_else_is_asked_for() -> None:
    pipe = make_pipeline().to("cpu", "int8")
    codes = pipe("bag", seed=1).codes
    assert pipe.to("cpu").precision == "int8"
    assert torch.equal(pipe("bag", seed=1).codes, codes)
    pipe.to(dtype="fp32")
    assert torch.equal(pipe("bag", seed=1).codes, make_pipeline()("bag", seed=1).codes)


def test_compiling_is_asked_for_and_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = make_pipeline()
    monkeypatch.setenv("CXX", "true")
    monkeypatch.setattr(
        nn.Module, "compile", lambda module: setattr(module, "_compiled_call_impl", print)
    )
    assert pipe.to(compile=True).compiled and pipe.to("cpu").compiled
    assert not pipe.to(compile=False).compiled
    assert pipe.transformer._compiled_call_impl is None


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has the device")
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device": "mps"}, "'mps', which cannot be used here"),
        ({"device": "meta"}, "'meta', which cannot be used here"),
        ({"device": "nowhere"}, "choose auto"),
        ({"dtype": "fp8"}, "'fp8' is unknown"),
        ({"attention_backend": "magic"}, "'magic' is unknown"),
        ({"compile": True}, r"needs a C\+\+ compiler"),
    ],
)
def test_what_fails_changes_nothing(
    settings: dict, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    pipe = make_pipeline().to("cpu", "fp32", low_mem=True)
    before, held = state(pipe), [tensor.clone() for tensor in tensors(pipe)]
    codes = pipe("bag", seed=1).codes
    with pytest.raises(ValueError, match=message):
        pipe.to(**({"dtype": "bf16", "low_mem": False} | settings))
    assert state(pipe) == before
    assert all(map(torch.equal, tensors(pipe), held))
    assert torch.equal(pipe("bag", seed=1).codes, codes)


@pytest.mark.parametrize("dtype", ["bf16", "int8"])
def test_a_move_that_breaks_off_is_taken_back(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = make_pipeline().to("cpu", "fp32")
    before, held = state(pipe), [tensor.clone() for tensor in tensors(pipe)]
    real = nn.Module.to

    def no_memory(module: nn.Module, *arguments: object) -> nn.Module:
        real(module.half(), *arguments)
        raise torch.OutOfMemoryError("none left")

    with monkeypatch.context() as patch:
        patch.setattr(type(pipe.transformer), "to", no_memory)
        with pytest.raises(torch.OutOfMemoryError):
            pipe.to(dtype=dtype, low_mem=True)
    assert state(pipe) == before
    assert all(map(torch.equal, tensors(pipe), held))
