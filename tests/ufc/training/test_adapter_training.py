"""Training of low-rank adapters, on a tiny model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_pipeline
from toy_data import write_folder
from toy_hub import ToyHub
from toy_training import model_config

import ufc.training.trainer
from ufc import UFCPipeline, adapters
from ufc.cli.main import main as cli
from ufc_base.checkpoint import read_safetensors
from ufc_base.publishing.upload import HubError

try:
    adapters.import_peft()
except ImportError as error:
    pytest.skip(f"PEFT cannot be imported: {error!s:.100}", allow_module_level=True)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "model"
    make_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("data") / "folder", 8)


@pytest.fixture
def config(data: Path, base: Path, tmp_path: Path) -> Any:
    return model_config(
        data, base, tmp_path / "look", init_from=str(base), lora_rank=2, learning_rate=0.02,
        validation_steps=12,
    )  # fmt: skip


def test_only_the_adapter_learns_and_is_written(config: Any, base: Path) -> None:
    folder = ufc.training.trainer.main(config)
    file = folder / adapters.WEIGHTS
    assert file.stat().st_size < 64_000 and not (folder / "model_index.json").exists()
    own = UFCPipeline.from_pretrained(base, dtype="fp32")
    before = {name: value.clone() for name, value in own.transformer.state_dict().items()}
    given = {"num_inference_steps": 2, "seed": 1, "temperature": 0.0}
    plain = own("red bag", **given).confidence
    own.load_lora_weights(folder)
    assert abs(own("red bag", **given).confidence - plain).max() > 1e-4
    own.unload_lora_weights()
    after = own.transformer.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    with pytest.raises(ValueError, match="holds a run already"):
        ufc.training.trainer.main(config)


def test_a_resumed_run_and_an_export_give_the_same(config: Any, tmp_path: Path) -> None:
    whole = ufc.training.trainer.main(replace(config, output_dir=str(tmp_path / "whole")))
    half = replace(config, max_train_steps=6)
    ufc.training.trainer.main(half)
    (Path(config.output_dir) / adapters.WEIGHTS).unlink()
    resumed = replace(config, resume_from_checkpoint="latest")
    ufc.training.trainer.main(resumed)
    found = read_safetensors(Path(config.output_dir) / adapters.WEIGHTS)
    assert cli(["train", "--export-from", str(whole), "--output-dir", str(tmp_path / "again")]) == 0
    exported = read_safetensors(tmp_path / "again" / adapters.WEIGHTS)
    expected = read_safetensors(whole / adapters.WEIGHTS)
    assert set(found) == set(expected) == set(exported)
    assert all(torch.equal(exported[name], value) for name, value in expected.items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"init_from": None}, "give --init-from"),
        ({"new_vocabulary": True}, "goes without new_vocabulary"),
        ({"sharding": "fsdp"}, "goes without sharding fsdp"),
        ({"lora_rank": -1}, "lora_rank: got -1"),
    ],
)
def test_what_cannot_be(config: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(config, **changes)


def test_an_unknown_layer_is_refused(config: Any) -> None:
    with pytest.raises(ValueError, match=r"lora layers: got \['conv'\]"):
        ufc.training.trainer.main(replace(config, lora_layers=("conv",)))


class TestHub:
    @pytest.fixture
    def hub(self, monkeypatch: pytest.MonkeyPatch) -> ToyHub:
        return ToyHub(monkeypatch)

    def test_an_adapter(self, config: Any, hub: ToyHub, tmp_path: Path) -> None:
        ufc.training.trainer.main(
            replace(config, push_to_hub=True, hub_model_id="me/look", hub_private_repo=True)
        )
        assert hub.created == [("me/look", True)] * 2
        assert hub.files == {adapters.WEIGHTS, "README.md"}
        data = hub.metadata
        assert "lora" in data.tags and data.license == "apache-2.0"
        assert (
            data.instance_prompt == "red bag" and data.base_model is None
        )  # a folder's is private
        assert 'pipe("red bag")' in hub.card and 'pipe.load_lora_weights("me/look")' in hub.card
        assert "| started from | `model` |" in hub.card and str(tmp_path.parent) not in hub.card

    def test_a_model(self, config: Any, hub: ToyHub, tmp_path: Path) -> None:
        ufc.training.trainer.main(replace(config, push_to_hub=True, lora_rank=0, max_train_steps=2))
        assert hub.created[0] == ("look", False)
        assert {"model_index.json", "README.md", "pipeline.py"} <= hub.files
        assert not any("checkpoint" in name for name in hub.files)
        assert "## Training" in hub.card and "| steps, at most | 2 |" in hub.card

    def test_a_wrong_token_is_told_before_anything_is_computed(
        self, config: Any, hub: ToyHub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ufc.training.trainer, "train", None)
        with pytest.raises(HubError, match=r"cannot make 'no/way'.*403.*token"):
            ufc.training.trainer.main(replace(config, push_to_hub=True, hub_model_id="no/way"))
