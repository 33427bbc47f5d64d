"""Precisions: what auto means, int8 layers, and a pass that compiles as one graph."""

from __future__ import annotations

import warnings

import pytest
import torch
from conftest import make_pipeline, tiny_transformer

import ufc_base.training.processes
from ufc.conditioning.sequence import ControlItem
from ufc.model.quantisation import (
    Int8Linear,
    check_compiler,
    has_int8,
    pick_precision,
    quantise_linears,
)
from ufc.pipeline import UFCPipeline
from ufc.sampling.guidance import make_prefix

CPU = torch.device("cpu")


@pytest.mark.parametrize(("native", "chosen"), [(True, "bf16"), (False, "fp32")])
def test_auto_asks_the_processor(
    native: bool, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ufc_base.training.processes.cpu_has_bf16", lambda: native)
    assert pick_precision("auto", CPU) == chosen
    of_training = ufc_base.training.processes.pick_precision("auto", CPU)
    assert of_training == ("bf16" if native else "no")


def test_names_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"fp8.*auto, fp32, bf16, fp16, int8"):
        pick_precision("fp8", CPU)
    with pytest.raises(ValueError, match="CPU only"):
        pick_precision("int8", torch.device("cuda"))


def test_int8_layer_is_near_the_exact_one() -> None:
    torch.manual_seed(0)
    exact = torch.nn.Linear(64, 96)
    x = torch.randn(2, 5, 64)
    rounded = Int8Linear(exact)(x)
    error = (rounded - exact(x)).norm() / exact(x).norm()
    assert 0 < error < 0.02
    assert Int8Linear(torch.nn.Linear(64, 96, bias=False))(x).shape == (2, 5, 96)


def test_int8_rounds_the_blocks_and_nothing_else() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = tiny_transformer(50)
        quantise_linears(model.blocks)
    assert has_int8(model.blocks)
    assert not any(isinstance(part, torch.nn.Linear) for part in model.blocks.modules())
    assert not has_int8(model.look) and not has_int8(model.heads)


def test_an_int8_pipeline_draws_and_refuses_what_it_cannot(tmp_path) -> None:  # type: ignore[no-untyped-def]
    pipeline = make_pipeline()
    exact = pipeline("men's blue shirt", seed=0, output_type="codes", num_inference_steps=2)
    pipeline.to("cpu", "int8")
    rounded = pipeline("men's blue shirt", seed=0, output_type="codes", num_inference_steps=2)
    assert pipeline.precision == "int8" and pipeline.dtype == torch.float32
    assert rounded.codes.shape == exact.codes.shape
    with pytest.raises(ValueError, match="load again"):
        pipeline.to("cpu", "fp32")
    with pytest.raises(ValueError, match="not saved"):
        pipeline.save_pretrained(tmp_path)


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
