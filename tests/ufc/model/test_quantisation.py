"""Precisions: what auto means, int8 layers, and a pass that compiles as one graph."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import pytest
import torch
from conftest import make_pipeline, tiny_transformer

import ufc_base.training.processes
from ufc.conditioning.sequence import ControlItem
from ufc.model.quantisation import (
    Int8Linear,
    check_compiler,
    is_emulated,
    pick_precision,
    quantise_linears,
)
from ufc.pipeline import UFCPipeline
from ufc.sampling.guidance import make_prefix
from ufc_base.computing.processor import processor_features

CPU = torch.device("cpu")


@pytest.fixture(params=["1", "0"], ids=["vnni", "no vnni"])
def vnni(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setenv("UFC_CPU_VNNI", request.param)
    return request.param == "1"


@pytest.mark.parametrize(
    ("bf16", "vnni", "chosen", "compiled"),
    [
        ("1", "1", "int8", "bf16"),
        ("0", "1", "int8", "fp32"),
        ("1", "0", "bf16", "bf16"),
        ("0", "0", "fp32", "fp32"),
    ],
)
def test_auto_asks_the_processor(
    bf16: str, vnni: str, chosen: str, compiled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UFC_CPU_BF16", bf16)
    monkeypatch.setenv("UFC_CPU_VNNI", vnni)
    assert pick_precision("auto", CPU) == chosen
    assert pick_precision("auto", CPU, compiled=True) == compiled
    of_training = ufc_base.training.processes.pick_mixed_precision("auto", CPU)
    assert of_training == ("bf16" if bf16 == "1" else "no")
    features = processor_features()
    assert ("bf16" in features, "vnni" in features) == (bf16 == "1", vnni == "1")
    assert is_emulated("bf16", CPU) == (bf16 == "0") and not is_emulated("int8", CPU)


def test_names_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"fp8.*auto, fp32, bf16, fp16, int8"):
        pick_precision("fp8", CPU)
    with pytest.raises(ValueError, match="CPU only"):
        pick_precision("int8", torch.device("cuda"))


def test_int8_layer_is_near_the_exact_one(vnni: bool) -> None:
    torch.manual_seed(0)
    exact = torch.nn.Linear(64, 96)
    x = torch.randn(2, 5, 64)
    engine = torch.backends.quantized.engine
    with torch.no_grad():
        error = (Int8Linear(exact)(x) - exact(x)).norm() / exact(x).norm()
        assert Int8Linear(torch.nn.Linear(64, 96, bias=False))(x).shape == (2, 5, 96)
    assert (0 < error < 0.01) if vnni else (0.01 < error < 0.02)
    assert torch.backends.quantized.engine == engine


def test_an_int8_layer_follows_its_weights_and_learns_exactly() -> None:
    torch.manual_seed(0)
    exact = torch.nn.Linear(16, 8)
    layer, x = Int8Linear(exact), torch.randn(3, 16)
    with torch.no_grad():
        before = layer(x)
        exact.weight.mul_(2)
        exact.bias.zero_()
        assert torch.allclose(layer(x), exact(x), atol=0.1)
        assert not torch.allclose(layer(x), before, atol=0.1)
        assert torch.equal(copy.deepcopy(layer)(x), layer(x))
    assert torch.equal(layer(x), exact(x))
    layer(x).sum().backward()
    assert exact.weight.grad is not None
    assert type(layer.exact()) is torch.nn.Linear and layer.exact().weight is exact.weight


def test_int8_rounds_the_blocks_and_nothing_else() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = tiny_transformer(50)
        names = list(model.state_dict())
        quantise_linears(model.blocks)
    kinds = {type(part) for part in model.blocks.modules() if isinstance(part, torch.nn.Linear)}
    assert kinds == {Int8Linear}
    others = [*model.look.modules(), *model.heads.modules(), model.place]
    assert not any(isinstance(part, Int8Linear) for part in others)
    assert list(model.state_dict()) == names


def test_an_int8_pipeline_draws_is_saved_exactly_and_goes_back(tmp_path: Path) -> None:
    pipeline = make_pipeline()
    settings = {"seed": 0, "output_type": "codes", "num_inference_steps": 2}
    exact = pipeline("men's blue shirt", **settings)
    pipeline.to("cpu", "int8")
    rounded = pipeline("men's blue shirt", **settings)
    assert pipeline.precision == "int8" and pipeline.dtype == torch.float32
    assert rounded.codes.shape == exact.codes.shape
    assert (rounded.confidence != exact.confidence).any()
    pipeline.save_pretrained(tmp_path)
    for back in (UFCPipeline.from_pretrained(tmp_path, dtype="fp32"), pipeline.to("cpu", "fp32")):
        assert (back("men's blue shirt", **settings).confidence == exact.confidence).all()


@pytest.mark.parametrize(("scores", "references"), [(False, 0), (True, 1)])
def test_the_pass_is_one_graph(scores: bool, references: int) -> None:
    model = tiny_transformer(50)
    codes = torch.full((2, 16), 16)
    asked = torch.arange(5 * (not scores))
    grid = torch.zeros(4, 4, dtype=torch.int64)
    items = [ControlItem([1, 2], [grid] * references), ControlItem([3])]
    with torch.no_grad():
        prefix = make_prefix(model, items)
        torch._dynamo.reset()
        found = torch._dynamo.explain(model.forward)(codes, prefix, scores, asked)
    assert found.graph_break_count == 0, found.break_reasons


def test_compiling_without_a_compiler_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ufc.model.quantisation.shutil.which", lambda name: None)
    with pytest.raises(ValueError, match="C\\+\\+ compiler"):
        check_compiler(CPU)


def test_a_pipeline_in_bf16_draws() -> None:
    pipeline: UFCPipeline = make_pipeline().to("cpu", "bf16")
    assert pipeline.dtype == torch.bfloat16
    drawn = pipeline("men's blue shirt", seed=0, num_inference_steps=2, output_type="codes")
    assert int(drawn.codes.max()) < 16
