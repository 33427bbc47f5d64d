"""Low-rank adapters by PEFT, on a tiny untrained pipeline."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from conftest import make_pipeline
from safetensors.torch import save_file
from torch import Tensor
from toy_adapters import learnt

from ufc import UFCPipeline, adapters
from ufc_base.checkpoint import CheckpointError, read_safetensors

try:
    adapters.import_peft()
except ImportError as error:
    pytest.skip(f"PEFT cannot be imported: {error!s:.100}", allow_module_level=True)

STEPS = {"num_inference_steps": 2, "seed": 1, "temperature": 0.0}
CODES = torch.randint(0, 16, (2, 16), generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def states(pipe: UFCPipeline) -> Tensor:
    for watch in pipe.watches:
        watch.look()  # as a call does
    return pipe.transformer(CODES, None).target.float()


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return learnt(1, tmp_path_factory.mktemp("one"))


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return learnt(2, tmp_path_factory.mktemp("two"), rank=3)


def test_a_new_adapter_changes_nothing_and_alone_learns() -> None:
    pipe = make_pipeline()
    before = states(pipe)
    adapters.add_adapter(pipe.transformer, 2)
    assert torch.allclose(states(pipe), before, atol=1e-4)
    names = [name for name, weight in pipe.transformer.named_parameters() if weight.requires_grad]
    assert names and all(".lora_" in name for name in names)
    assert len(names) == 2 * 4 * 2  # blocks, layers, matrices


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_loading_weighing_and_taking_off(one: Path, two: Path, precision: str) -> None:
    pipe = make_pipeline().to("cpu", precision)
    before = states(pipe)
    pipe.load_lora_weights(one)  # the file, or its folder
    pipe.load_lora_weights(two.parent, adapter_name="second")
    assert pipe.get_list_adapters() == {"transformer": ["default_0", "second"]}
    assert pipe.get_active_adapters() == ["default_0", "second"]
    both = states(pipe)
    pipe.set_adapters("second")
    alone = states(pipe)
    pipe.set_adapters(["default_0", "second"], [0.0, 1.0])
    assert torch.allclose(states(pipe), alone, atol=1e-5)
    pipe.set_adapters(["default_0", "second"], 0.5)
    halves = states(pipe)
    for changed in (both, alone, halves):
        assert (changed - before).abs().max() > 0.05
    assert not torch.allclose(both, alone) and not torch.allclose(both, halves)
    pipe.disable_lora()
    assert torch.allclose(states(pipe), before, atol=0.05) and pipe.get_active_adapters() == []
    pipe.enable_lora()
    pipe.delete_adapters("default_0")
    assert pipe.get_list_adapters() == {"transformer": ["second"]}
    pipe.unload_lora_weights()
    assert torch.equal(states(pipe), before) and pipe.get_list_adapters() == {}


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_fused_adapters_are_seen_and_as_fast_as_none(one: Path, precision: str) -> None:
    pipe = make_pipeline().to("cpu", precision)
    with torch.no_grad():
        assert all(pipe.transformer.lean_layers())
        before = states(pipe)
        pipe.load_lora_weights(one, adapter_name="look")
        assert not any(pipe.transformer.lean_layers())  # the fused block steps back
        adapted = states(pipe)
        pipe.fuse_lora(lora_scale=0.7)
        fused = states(pipe)
        pipe.unfuse_lora()
        near = {"atol": 1e-3} if precision == "fp32" else {"atol": 0.3}
        assert torch.allclose(states(pipe), adapted, **near)
        pipe.set_adapters("look", 0.7)
        assert torch.allclose(states(pipe), fused, **near)
        pipe.set_adapters("look")
        pipe.fuse_lora(lora_scale=0.7)
        pipe.unload_lora_weights()
        assert all(pipe.transformer.lean_layers())
        assert torch.allclose(states(pipe), fused, **near)
        assert (fused - before).abs().max() > 0.05


def test_fusing_weighing_and_leaving_aside_leave_nothing_behind(one: Path, two: Path) -> None:
    pipe = make_pipeline()
    pipe.load_lora_weights(one, adapter_name="a")
    pipe.load_lora_weights(two, adapter_name="b")
    pipe.set_adapters("a", 0.5)
    adapted = states(pipe)
    weights = {name: weight.clone() for name, weight in pipe.transformer.state_dict().items()}
    pipe.fuse_lora(0.7)
    pipe.fuse_lora(0.7)
    fused = states(pipe)
    pipe.set_adapters("a", 0.3)
    pipe.fuse_lora(1.0, ["b"])
    pipe.disable_lora()
    pipe.enable_lora()
    pipe.unfuse_lora()
    for name, weight in pipe.transformer.state_dict().items():
        assert torch.allclose(weight, weights[name], atol=1e-6), name
    pipe.set_adapters("a", 0.35)
    assert torch.allclose(states(pipe), fused, atol=1e-3)
    pipe.set_adapters("a", 0.5)
    assert torch.allclose(states(pipe), adapted, atol=1e-5)


def test_adapters_stay_as_they_are_where_another_goes_or_is_refused(one: Path, two: Path) -> None:
    pipe = make_pipeline()
    plain = states(pipe)
    pipe.load_lora_weights(one, adapter_name="a")
    pipe.load_lora_weights(two, adapter_name="b")
    pipe.set_adapters(["a", "b"], [0.5, 2.0])
    both = states(pipe)
    state = read_safetensors(one)
    state.popitem()
    with pytest.raises(CheckpointError, match="does not fit"):
        pipe.load_lora_weights(state, adapter_name="c")
    assert torch.allclose(states(pipe), both, atol=1e-5)
    pipe.set_adapters("a")
    pipe.delete_adapters("a")
    assert pipe.get_active_adapters() == [] and torch.allclose(states(pipe), plain, atol=1e-4)


def test_an_adapter_may_be_called_like_a_layer(one: Path, tmp_path: Path) -> None:
    pipe = make_pipeline()
    pipe.load_lora_weights(one, adapter_name="out")
    adapted = states(pipe)
    pipe.save_lora_weights(tmp_path, "out")
    again = make_pipeline()
    again.load_lora_weights(tmp_path, adapter_name="down")
    assert torch.equal(states(again), adapted)


def test_a_call_uses_them(one: Path) -> None:
    pipe = make_pipeline()
    before = pipe("bag", **STEPS).codes
    pipe.load_lora_weights(one)
    adapted = pipe("bag", **STEPS).codes
    pipe.fuse_lora()
    assert torch.equal(pipe("bag", **STEPS).codes, adapted)
    pipe.unload_lora_weights()
    assert torch.equal(pipe("bag", **STEPS).codes, adapted)
    assert not torch.equal(before, adapted)


def test_a_model_with_adapters_is_saved_without_them(one: Path, tmp_path: Path) -> None:
    pipe = make_pipeline()
    plain = states(pipe)
    pipe.load_lora_weights(one, adapter_name="look")
    pipe.save_pretrained(tmp_path / "m")
    pipe.save_lora_weights(tmp_path / "look")
    again = UFCPipeline.from_pretrained(tmp_path / "m", dtype="fp32")
    assert torch.equal(states(again), plain)
    again.load_lora_weights(tmp_path / "look")
    assert torch.equal(states(again), states(pipe))
    fused = make_pipeline()
    fused.load_lora_weights(one)
    fused.fuse_lora()
    fused.save_pretrained(tmp_path / "fused")
    merged = UFCPipeline.from_pretrained(tmp_path / "fused", dtype="fp32")
    assert torch.allclose(states(merged), states(pipe), atol=1e-3)


def test_the_file_is_laid_out_as_diffusers_has_it(one: Path) -> None:
    from safetensors import safe_open

    assert one.name == "pytorch_lora_weights.safetensors"
    state = read_safetensors(one)
    assert state["transformer.blocks.0.qkv.lora_A.weight"].shape == (2, 32)
    assert state["transformer.blocks.1.down.lora_B.weight"].shape == (32, 2)
    with safe_open(one, "pt") as file:
        said = json.loads(file.metadata()["lora_adapter_metadata"])
    assert said["transformer.r"] == 2 and said["transformer.lora_alpha"] == 4


def test_weights_by_name_and_from_a_repository(one: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    pipe = make_pipeline()
    pipe.load_lora_weights(read_safetensors(one))
    asked = {}

    def download(repository: str, name: str, **settings: object) -> str:
        asked.update(settings, repository=repository, name=name)
        return str(one)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    pipe.load_lora_weights("me/look", subfolder="v2", token="t")
    assert pipe.get_active_adapters() == ["default_0", "default_1"]
    assert (asked["repository"], asked["token"]) == ("me/look", "t")
    assert asked["name"] == "v2/pytorch_lora_weights.safetensors"


class TestRefusals:
    def test_names(self, one: Path) -> None:
        pipe = make_pipeline()
        pipe.load_lora_weights(one, adapter_name="look")
        with pytest.raises(ValueError, match="an adapter 'look' already"):
            pipe.load_lora_weights(one, adapter_name="look")
        with pytest.raises(ValueError, match="wanted letters"):
            pipe.load_lora_weights(one, adapter_name="a.b")
        with pytest.raises(ValueError, match="no adapter 'luck'; there are 'look'"):
            pipe.set_adapters("luck")
        with pytest.raises(ValueError, match="1 adapters and 2 weights"):
            pipe.set_adapters("look", [1.0, 2.0])
        with pytest.raises(ValueError, match=r"lora layers: got \['conv'\]"):
            adapters.add_adapter(pipe.transformer, 2, layers=["conv"])

    def test_of_another_model(self, one: Path) -> None:
        wider = make_pipeline(width=64)
        before = states(wider)
        with pytest.raises(CheckpointError, match="does not fit this model"):
            wider.load_lora_weights(one)
        assert torch.equal(states(wider), before) and wider.get_list_adapters() == {}
        with pytest.raises(CheckpointError, match="no adapter of this model"):
            wider.load_lora_weights({"unet.conv.lora_A.weight": torch.zeros(2, 3)})
        with pytest.raises(CheckpointError, match="no adapter of this model"):
            wider.load_lora_weights({})

    def test_files(self, one: Path, tmp_path: Path) -> None:
        pipe = make_pipeline()
        with pytest.raises(CheckpointError, match="is it an adapter's folder"):
            pipe.load_lora_weights(tmp_path)
        with pytest.raises(CheckpointError, match="user/name"):
            pipe.load_lora_weights("nothing")
        cut = tmp_path / one.name
        cut.write_bytes(one.read_bytes()[:-20])
        with pytest.raises(CheckpointError, match="truncated or damaged"):
            pipe.load_lora_weights(tmp_path)
        torch.save({}, cut)
        with pytest.raises(CheckpointError, match="pickle"):
            pipe.load_lora_weights(tmp_path)

    @pytest.mark.parametrize(
        ("rows", "wanted"), [(0, r"ranks \[0\]"), (1025, r"ranks \[1025\]"), (None, r"ranks \[0\]")]
    )
    def test_ranks(self, one: Path, rows: int | None, wanted: str) -> None:
        shape = () if rows is None else (rows, 32)
        state = {
            name: torch.zeros(shape) if ".lora_A." in name else value
            for name, value in read_safetensors(one).items()
        }
        with pytest.raises(CheckpointError, match=wanted):
            make_pipeline().load_lora_weights(state)

    @pytest.mark.parametrize("told", ["[" * 100_000, "{", "[]"])
    def test_what_it_says_of_itself(self, one: Path, tmp_path: Path, told: str) -> None:
        file = tmp_path / one.name
        save_file(read_safetensors(one), file, {adapters.METADATA: told})
        with pytest.raises(CheckpointError, match="what it says of its adapter is no JSON"):
            make_pipeline().load_lora_weights(file)

    def test_sums_that_are_not_finite(self, one: Path) -> None:
        pipe = make_pipeline()
        pipe.load_lora_weights(one)
        before = states(pipe)
        with pytest.raises(CheckpointError, match="cannot be fused"):
            pipe.fuse_lora(lora_scale=float("inf"))
        pipe.set_adapters("default_0")
        assert torch.allclose(states(pipe), before, atol=1e-4)
