"""Sparse experts: which one a token gets, who is turned away, and what a model of them can do."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from conftest import make_pipeline, tiny_transformer
from torch import Tensor

from ufc.conditioning.sequence import ControlItem
from ufc.model.blocks.block import Block
from ufc.model.blocks.experts import Experts, take_routing
from ufc.model.quantisation import Int8Linear, quantise_linears
from ufc.model.transformer import UFCConfig, UFCTransformer
from ufc.sampling.guidance import make_prefix

SIZES = {"width": 8, "feed_forward": 12}
ITEMS = [ControlItem(text=[5, 9, 11, 40]), ControlItem(text=[7])]


def experts(**changes: object) -> Experts:
    torch.manual_seed(0)
    made = Experts(**(SIZES | {"experts": 4} | changes))  # type: ignore[arg-type]
    made.initialise(std=0.5, std_down=0.5)
    return made


def expert(layer: Experts, number: int, x: Tensor) -> Tensor:
    gate, up = F.linear(x, layer.gate_up[number]).chunk(2, dim=-1)
    return F.linear(F.silu(gate) * up, layer.down[number])


def tokens(count: int = 10) -> Tensor:
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(1))


def dense_twin(model: UFCTransformer) -> UFCTransformer:
    """The dense model with the weights of one that has a single expert."""
    twin = UFCTransformer(replace(model.config, ffn="dense"))
    state = {}
    for name, value in model.state_dict().items():
        if ".experts." not in name:
            state[name] = value
        elif not name.endswith(".gate"):
            state[name.replace("experts.", "") + ".weight"] = value[0]
    twin.load_state_dict(state)
    return twin.eval()


def target_states(model: UFCTransformer, scores: bool = False) -> list[Tensor]:
    codes = torch.arange(32).view(2, 16) % 17
    hidden = model(codes, make_prefix(model, ITEMS), scores=scores)
    return [state for state in (hidden.target, hidden.rel, hidden.fdl) if state is not None]


@pytest.mark.parametrize("attention", ["prefix", "full"])
def test_one_expert_is_the_dense_block(attention: str) -> None:
    one = tiny_transformer(300, ffn="moe", experts=1, control_attention=attention)
    dense = dense_twin(one)
    for training in (False, True):  # where all are even nobody is turned away
        one.train(training)
        for scores in (False, True):
            found, wanted = target_states(one, scores), target_states(dense, scores)
            torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    losses = [sum(s.square().sum() for s in target_states(m)) for m in (one, dense.train())]
    for loss in losses:
        loss.backward()  # type: ignore[union-attr]
    learnt, known = (m.layers()[0] for m in (one, dense))
    assert learnt.experts is not None
    torch.testing.assert_close(learnt.experts.down.grad[0], known.down.weight.grad)
    torch.testing.assert_close(learnt.norm2.weight.grad, known.norm2.weight.grad)


def test_a_token_gets_the_likeliest_expert_of_every_prototype() -> None:
    layer = experts(prototypes=2).eval()
    x = tokens()
    gates = F.linear(x, layer.gate).view(10, 2, 2).softmax(-1)
    wanted = torch.zeros_like(x)
    for row in range(10):
        for group in range(2):
            best = int(gates[row, group].argmax())
            wanted[row] += gates[row, group, best] * expert(layer, 2 * group + best, x[row])
    torch.testing.assert_close(layer(x), wanted)
    torch.testing.assert_close(layer(x.view(2, 5, 8)).view(10, 8), wanted)


def test_plain_top_k_shares_its_gates_out() -> None:
    layer = experts(choices=2).eval()
    x = tokens()
    gates, best = F.linear(x, layer.gate).softmax(-1).topk(2)
    gates = gates / gates.sum(-1, keepdim=True)
    wanted = torch.zeros_like(x)
    for row in range(10):
        for gate, number in zip(gates[row], best[row].tolist(), strict=True):
            wanted[row] += gate * expert(layer, number, x[row])
    torch.testing.assert_close(layer(x), wanted)


def test_who_comes_late_to_a_full_expert_gets_nothing_in_training_alone() -> None:
    layer = experts(experts=2, capacity_factor=0.6)
    with torch.no_grad():
        layer.gate.copy_(torch.stack([torch.zeros(8), torch.ones(8)]))
    x = tokens().abs()  # all of them ask for the second expert
    out = layer(x)
    assert layer.capacity(10) == 3
    assert out[:3].abs().sum(1).min() > 0
    assert torch.equal(out[3:], torch.zeros(7, 8))
    (noted,) = take_routing(layer)
    assert noted.load_ZM.tolist() == [[0.0, 10.0]]
    assert float(noted.dropped) == pytest.approx(0.7)
    assert float(noted.imbalance) == pytest.approx(1.0)
    even = F.linear(x, layer.gate).softmax(-1)[:, 1].mean()
    torch.testing.assert_close(noted.balance, 2 * even)
    assert layer.eval()(x).abs().sum(1).min() > 0
    assert take_routing(layer) == []


def test_a_dropped_token_passes_through_the_residual() -> None:
    torch.manual_seed(0)
    block = Block(UFCConfig(**SIZES, heads=2, ffn="moe", experts=2, capacity_factor=0.01))
    x, mixed = tokens(6), torch.zeros(6, 8)
    out = block.finish(x, mixed)
    changed = (out != x).any(1)
    assert 1 <= int(changed.sum()) <= 2  # one a expert


def test_padding_takes_nobodys_place() -> None:
    layer = experts(experts=1, capacity_factor=1.0)
    x = tokens(6).view(2, 3, 8)
    present = torch.tensor([[True, False, False], [True, True, False]])
    out = layer(x, present)
    assert layer.capacity(3) == 3
    torch.testing.assert_close(out[present], expert(layer, 0, x[present]))
    assert not out[~present].any()
    (noted,) = take_routing(layer)
    assert float(noted.load_ZM.sum()) == 3 and not noted.dropped


@pytest.mark.parametrize("attention", ["prefix", "full"])
def test_a_model_routes_its_controls_without_their_padding(attention: str) -> None:
    model = tiny_transformer(300, ffn="moe", control_attention=attention, depth=1).train()
    model(torch.zeros(2, 16, dtype=torch.int64), make_prefix(model, ITEMS), scores=True)
    loads = [int(one.load_ZM.sum()) for one in take_routing(model)]
    assert loads == ([5, 36] if attention == "prefix" else [41])


def test_the_balance_loss_evens_out_the_load() -> None:
    layer = experts(experts=4, capacity_factor=4.0)
    x = tokens(200)
    optimizer = torch.optim.Adam(layer.parameters(), 0.05)
    found = []
    for _ in range(40):
        layer(x)
        (noted,) = take_routing(layer)
        found.append(float(noted.imbalance))
        optimizer.zero_grad()
        noted.balance.backward()
        optimizer.step()
    assert found[-1] < 0.5 * found[0]


def test_generated_pictures_do_not_depend_on_their_batch() -> None:
    pipeline = make_pipeline(ffn="moe", experts=4, prototypes=2, capacity_factor=0.1)
    alone = pipeline("red bag", seed=3, num_inference_steps=2)
    both = pipeline(["blue shirt", "red bag"], seed=[1, 3], num_inference_steps=2)
    assert torch.equal(alone.codes[0], both.codes[1])


def test_int8_and_the_fused_block_leave_experts_as_they_are() -> None:
    model = tiny_transformer(300, ffn="moe", width=64, feed_forward=64)
    with torch.no_grad():
        before = target_states(model)[0]
        assert model.lean_layers() == [None, None]
        quantise_linears(model.blocks)
        after = target_states(model)[0]
    block = model.layers()[0]
    assert isinstance(block.qkv, Int8Linear) and type(block.experts) is Experts
    assert F.cosine_similarity(before.flatten(), after.flatten(), dim=0) > 0.9


def test_a_saved_model_comes_back_and_an_old_config_is_dense(tmp_path) -> None:  # type: ignore[no-untyped-def]
    model = tiny_transformer(300, ffn="moe", experts=6, prototypes=3)
    model.save_pretrained(tmp_path)
    again = UFCTransformer.from_pretrained(tmp_path)
    assert again.config == model.config
    assert torch.equal(target_states(again)[0], target_states(model)[0])
    old = {name: value for name, value in UFCConfig().to_dict().items() if name not in
           ("ffn", "experts", "prototypes", "capacity_factor", "balance_weight")}  # fmt: skip
    assert UFCConfig.from_dict(old) == UFCConfig()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ffn": "sparse"}, "ffn is 'sparse', wanted 'dense' or 'moe'"),
        ({"experts": 4, "prototypes": 3}, "4 experts do not make 3 prototypes"),
        ({"experts": 0}, "0 experts"),
        ({"capacity_factor": 0.0}, "capacity_factor is 0.0"),
        ({"balance_weight": -1.0}, "balance_weight is -1, wanted 0 at least"),
    ],
)
def test_sizes_that_make_no_experts_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        UFCConfig(**changes)  # type: ignore[arg-type]


def test_capacity_counts_what_a_token_asks_for() -> None:
    assert experts(experts=8, prototypes=2, capacity_factor=1.0).capacity(100) == 25
    assert experts(experts=8, choices=2, capacity_factor=1.25).capacity(100) == math.ceil(31.25)
    assert experts(experts=8, capacity_factor=1e-3).capacity(100) == 1
