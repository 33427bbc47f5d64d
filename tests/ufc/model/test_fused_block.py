"""The lean block is the block, and is there only where it may be."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from ufc.conditioning.sequence import ControlItem
from ufc.model.blocks.block import Block
from ufc.model.blocks.fused_block import WIDEST, is_lean, unit
from ufc.model.quantisation import quantise_linears
from ufc.model.transformer import Hidden, UFCConfig, UFCTransformer
from ufc.sampling.guidance import make_prefix
from ufc_base.computing.inference import WeightWatch

SMALL: dict[str, Any] = {
    "codes": 20,
    "code_width": 4,
    "text_vocabulary": 30,
    "grid": 4,
    "width": 32,
    "heads": 2,
    "feed_forward": 48,
}


def transformer(attention: str = "prefix") -> UFCTransformer:
    torch.manual_seed(0)
    model = UFCTransformer(UFCConfig(**SMALL, depth=3, control_attention=attention))
    for name, parameter in model.named_parameters():
        if "norm" in name:  # not all ones, so that folding them in is seen
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    model.know_codebook(torch.randn(20, 4))
    return model.eval()


def run(model: UFCTransformer, codes: Tensor, scores: bool, ask: Tensor | None) -> Hidden:
    items = [ControlItem([1, 2, 3], [torch.zeros(4, 4, dtype=torch.int64)]), ControlItem([4])]
    return model(codes, make_prefix(model, items), scores=scores, ask_N=ask)


@pytest.mark.parametrize("attention", ["prefix", "full"])
@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize("asked", [None, [], [0, 5, 17, 31]])
def test_same_states_as_with_a_gradient(
    attention: str, scores: bool, asked: list[int] | None
) -> None:
    if asked == [] and not scores:
        asked = [3]
    model = transformer(attention)
    codes = torch.randint(0, 21, (2, 16))
    ask = None if asked is None else torch.tensor(asked, dtype=torch.int64)
    wanted = run(model, codes, scores, ask)
    with torch.no_grad():
        made = run(model, codes, scores, ask)
        assert all(model.lean_layers())
    for name in ("target", "rel", "fdl"):
        a, b = getattr(made, name), getattr(wanted, name)
        if b is not None:
            torch.testing.assert_close(a, b.detach(), rtol=1e-5, atol=2e-6)


def test_only_where_nothing_is_learnt() -> None:
    model = transformer()
    assert model.lean_layers() == [None] * 3
    with torch.no_grad():
        assert all(model.lean_layers())
        with torch.autocast("cpu", torch.bfloat16):
            assert model.lean_layers() == [None] * 3
        model.train()
        assert model.lean_layers() == [None] * 3


@torch.no_grad()
def test_follows_loaded_weights() -> None:
    model, other = transformer(), transformer()
    for parameter in other.parameters():
        parameter.mul_(1.5)
    codes = torch.zeros(1, 16, dtype=torch.int64)
    model(codes, None)
    model.load_state_dict(other.state_dict())
    torch.testing.assert_close(model(codes, None).target, other(codes, None).target)


def swapped(model: UFCTransformer, by: float) -> None:
    for parameter in model.parameters():
        parameter.data = parameter.data * by


def edited(model: UFCTransformer, by: float) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(by)


def averaged(model: UFCTransformer, by: float) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter * by)


@pytest.mark.parametrize("change", [swapped, edited, averaged])
def test_follows_weights_however_they_are_changed(change: Any) -> None:
    model, codes = transformer(), torch.zeros(1, 16, dtype=torch.int64)
    with torch.no_grad():
        before = model(codes, None).target
    change(model, 1.5)
    with torch.no_grad():
        after = model(codes, None).target
        torch.testing.assert_close(after, copy.deepcopy(model)(codes, None).target)
    assert not torch.allclose(before, after)


def test_a_watch_notices_what_is_written_through_data() -> None:
    model, codes = transformer(), torch.zeros(1, 16, dtype=torch.int64)
    watch = WeightWatch(model)
    with torch.no_grad():
        before = model(codes, None).target
        for parameter in model.parameters():
            parameter.data.mul_(1.5)
        watch.look()
        after = model(codes, None).target
    assert not torch.allclose(before, after)


@torch.no_grad()
def test_adapters_and_hooks_are_heard() -> None:
    model, codes = transformer(), torch.zeros(1, 16, dtype=torch.int64)
    before = model(codes, None).target
    heard: list[str] = []
    handle = model.layers()[1].out.register_forward_hook(lambda *_: heard.append("out"))
    torch.testing.assert_close(model(codes, None).target, before, rtol=1e-5, atol=2e-6)
    assert heard == ["out"]
    handle.remove()

    class Adapter(torch.nn.Module):
        def __init__(self, base: torch.nn.Linear) -> None:
            super().__init__()
            self.base = base

        def forward(self, x: Tensor) -> Tensor:
            return 2 * self.base(x)

    model.layers()[0].down = Adapter(model.layers()[0].down)  # type: ignore[assignment]
    assert not torch.allclose(model(codes, None).target, before)


@torch.no_grad()
def test_not_for_other_numbers_or_wide_models() -> None:
    config = UFCConfig(**SMALL, depth=1)
    assert is_lean(Block(config))
    halved = transformer().bfloat16()
    assert halved.lean_layers() == [None] * 3
    mixed = Block(config)
    quantise_linears(mixed)
    assert is_lean(mixed)
    mixed.down = mixed.down.exact()  # type: ignore[operator]
    assert not is_lean(mixed)
    with torch.device("meta"):
        wide = Block(UFCConfig(**SMALL | {"width": WIDEST + 32}, depth=1))
    assert not is_lean(wide)


@torch.no_grad()
@pytest.mark.parametrize("bf16", ["0", "1"])
@pytest.mark.parametrize("attention", ["prefix", "full"])
def test_int8_blocks_are_lean_and_near_the_exact_ones(
    attention: str, bf16: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UFC_CPU_BF16", bf16)
    model = transformer(attention)
    codes = torch.randint(0, 21, (2, 16))
    wanted = run(model, codes, True, None)
    quantise_linears(model.blocks)
    made = run(model, codes, True, None)
    dtype = torch.bfloat16 if bf16 == "1" else torch.float32
    assert [lean.attention_dtype for lean in model.lean_layers() if lean] == [dtype] * 3
    assert (
        model(codes, make_prefix(model, [ControlItem([]), ControlItem([])])).target.isfinite().all()
    )
    for name in ("target", "rel", "fdl"):
        a, b = getattr(made, name), getattr(wanted, name)
        assert 0 < (a - b).norm() < 0.05 * b.norm()


def test_unit_is_rms_norm_over_the_root_of_the_width() -> None:
    for scale in (0.0, 1e-6, 1.0, 1e4):
        x = scale * torch.randn(3, 64)
        wanted = torch.nn.functional.rms_norm(x, (64,)) / 8
        torch.testing.assert_close(unit(x), wanted, rtol=1e-5, atol=0)
