"""Models are loaded, saved and pushed as by diffusers' pipelines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from conftest import make_pipeline
from toy_hub import ToyHub

from ufc import UFCPipeline
from ufc_base.checkpoint import CheckpointError, read_json, read_safetensors
from ufc_base.publishing.upload import HubError

STEPS = {"num_inference_steps": 4, "seed": 1}


@pytest.fixture
def folder(pipeline: UFCPipeline, tmp_path: Path) -> Path:
    pipeline.save_pretrained(tmp_path / "m")
    return tmp_path / "m"


class TestLoading:
    @pytest.mark.parametrize(
        ("dtype", "precision"),
        [
            (torch.bfloat16, "bf16"),
            ("torch.float16", "fp16"),
            ("float32", "fp32"),
            ("int8", "int8"),
            ({"transformer": torch.float16, "default": torch.float32}, "fp16"),
            ({"default": torch.bfloat16}, "bf16"),
        ],
    )
    @pytest.mark.parametrize("name", ["torch_dtype", "dtype"])
    def test_types_and_names(self, folder: Path, name: str, dtype: Any, precision: str) -> None:
        pipe = UFCPipeline.from_pretrained(folder, device="cpu", **{name: dtype})
        assert pipe.precision == precision
        assert next(pipe.tokenizer.parameters()).dtype == torch.float32

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"torch_dtype": torch.int32}, r"torch\.int32.*torch\.bfloat16"),
            ({"torch_dtype": "fp32", "dtype": "bf16"}, "both torch_dtype='fp32' and dtype='bf16'"),
            ({"torch_dtype": {"unet": torch.float16}}, "unet"),
            ({"device": "cpu", "device_map": "cuda"}, "both device='cpu' and device_map='cuda'"),
            ({"device_map": {"transformer": "cpu"}}, "one place for the whole model"),
            ({"use_safetensors": False}, "safetensors alone"),
            ({"subfolder": "../m"}, "leads out of the model"),
        ],
    )
    def test_what_cannot_be_is_refused(self, folder: Path, arguments: dict, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            UFCPipeline.from_pretrained(folder, **arguments)

    def test_device_map_and_moving_by_type(self, folder: Path) -> None:
        pipe = UFCPipeline.from_pretrained(folder, device_map="cpu", disable_mmap=True)
        assert pipe.device.type == "cpu"
        assert pipe.to(torch.bfloat16).dtype == torch.bfloat16
        assert pipe.to("cpu", torch.float32).dtype == torch.float32

    def test_a_subfolder_of_a_folder_and_of_a_repository(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert UFCPipeline.from_pretrained(folder.parent, subfolder="m").name == "m"
        asked: dict[str, Any] = {}

        def download(repository: str, **settings: Any) -> str:
            asked.update(settings)
            return str(folder.parent)

        monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
        loaded = UFCPipeline.from_pretrained(
            "me/models", subfolder="m", token="secret", force_download=True
        )
        assert loaded.name == "m"
        assert (asked["token"], asked["force_download"]) == ("secret", True)
        assert asked["allow_patterns"] == ["m/*.json", "m/*.safetensors", "m/*.md"]

    def test_components_take_the_place_of_the_models_own(
        self, folder: Path, pipeline: UFCPipeline
    ) -> None:
        (folder / "transformer" / "model.safetensors").unlink()
        other = make_pipeline()
        pipe = UFCPipeline.from_pretrained(
            folder, dtype="fp32", transformer=other.transformer, vqvae=other.tokenizer
        )
        assert pipe.transformer is other.transformer
        assert pipe.tokenizer is pipe.vqvae is other.tokenizer
        shared = UFCPipeline(**pipe.components)
        assert shared.transformer is pipe.transformer
        assert torch.equal(shared("bag", **STEPS).codes, pipeline("bag", **STEPS).codes)
        with pytest.raises(TypeError, match="needs tokenizer, transformer and text"):
            UFCPipeline(vqvae=pipe.vqvae)
        with pytest.raises(TypeError, match="both tokenizer and vqvae"):
            UFCPipeline(**pipe.components, vqvae=pipe.vqvae)

    def test_the_config_is_the_models_index(self, folder: Path) -> None:
        pipe = UFCPipeline.from_pretrained(folder)
        stored = read_json(folder / "model_index.json")
        assert {name: pipe.config[name] for name in stored} == stored
        assert pipe.config["_name_or_path"] == "m"
        with pytest.raises(TypeError):
            pipe.config["defaults"] = {}  # type: ignore[index]


class TestSaving:
    def test_a_variant_lies_beside_the_other_weights(
        self, folder: Path, pipeline: UFCPipeline
    ) -> None:
        pipeline.save_pretrained(folder, variant="fp16")
        part = folder / "transformer"
        assert {path.name for path in part.glob("*.safetensors")} == {
            "model.safetensors",
            "model.fp16.safetensors",
        }
        assert read_safetensors(part / "model.fp16.safetensors")["place.weight"].dtype == (
            torch.float16
        )
        half = UFCPipeline.from_pretrained(folder, variant="fp16", dtype="fp32")
        own = pipeline.transformer.embedding.weight
        assert torch.equal(half.transformer.embedding.weight, own.half().float())
        with pytest.raises(CheckpointError, match="is no name"):
            pipeline.save_pretrained(folder, variant="../fp16")

    def test_a_split_variant_is_read_again_and_replaced(
        self, folder: Path, pipeline: UFCPipeline
    ) -> None:
        pipeline.save_pretrained(folder, variant="fp16", max_shard_size="8KB")
        part = folder / "transformer"
        assert (part / "model.safetensors.index.fp16.json").is_file()
        assert len(list(part.glob("model.fp16-*.safetensors"))) > 1
        assert UFCPipeline.from_pretrained(folder, variant="fp16").grid == 4
        pipeline.save_pretrained(folder, variant="fp16")
        assert not (part / "model.safetensors.index.fp16.json").exists()
        assert not list(part.glob("model.fp16-*"))
        assert (part / "model.safetensors").is_file()

    @pytest.fixture
    def hub(self, monkeypatch: pytest.MonkeyPatch) -> ToyHub:
        return ToyHub(monkeypatch)

    def test_what_is_saved_can_be_pushed_with_a_card(
        self, pipeline: UFCPipeline, tmp_path: Path, hub: ToyHub
    ) -> None:
        pipeline.save_pretrained(
            tmp_path / "bags", push_to_hub=True, token="t", create_pr=True, licence="mit"
        )
        assert (hub.created, hub.token) == ([("bags", None)], "t") and hub.settings["create_pr"]
        assert {"README.md", "pipeline.py", "text/ufc_part.py"} <= hub.files
        data = hub.metadata
        assert (data.library_name, data.pipeline_tag) == ("diffusers", "text-to-image")
        assert (data.license, data.language) == ("mit", ["en", "zh"])
        assert "# bags\n" in hub.card and "16 × 16 pixels" in hub.card

    def test_a_card_that_is_there_gets_what_it_lacks(
        self, folder: Path, pipeline: UFCPipeline, hub: ToyHub
    ) -> None:
        card = folder / "README.md"
        card.write_text("mine")
        pipeline.save_pretrained(folder, push_to_hub=True, repo_id="me/m")
        assert hub.card.endswith("---\nmine") and hub.created == [("me/m", None)]
        data = hub.metadata
        assert (data.library_name, data.pipeline_tag) == ("diffusers", "text-to-image")
        assert data.license == "apache-2.0"
        card.write_text("---\nlicense: mit\nwidget: [a]\n---\n# mine\n")
        pipeline.save_pretrained(folder, push_to_hub=True, repo_id="me/m")
        data = hub.metadata
        assert (data.license, data.widget, data.library_name) == ("mit", ["a"], "diffusers")
        assert hub.card.endswith("---\n# mine\n")
        before = card.read_bytes()
        pipeline.save_pretrained(folder, push_to_hub=True, repo_id="me/m")
        assert card.read_bytes() == before
        card.write_text("---\n[\n---\n# mine\n")
        with pytest.raises(ValueError, match=r"README\.md: .* no YAML mapping .* mend it"):
            pipeline.save_pretrained(folder, push_to_hub=True, repo_id="me/m")

    def test_the_card_of_a_runs_folder_tells_of_the_run(
        self, folder: Path, pipeline: UFCPipeline, hub: ToyHub
    ) -> None:
        settings = {"init_from": "me/bags", "max_train_steps": 1200, "max_train_minutes": 90.0}
        more = {"train_batch_size": 16, "learning_rate": 0.001, "train_data_dir": "/secret/x"}
        (folder / "settings.json").write_text(json.dumps(settings | more))
        pipeline.save_pretrained(folder, push_to_hub=True, repo_id="me/m")
        assert hub.metadata.base_model == "me/bags"
        for row in (
            "| started from | `me/bags` |", "| steps, at most | 1,200, or 90 minutes |",
            "| samples a step | 16 |", "| learning rate | 0.001 |",
        ):  # fmt: skip
            assert row in hub.card
        assert "secret" not in hub.card

    def test_a_hub_that_refuses_is_one_clear_line(self, pipeline: UFCPipeline, hub: ToyHub) -> None:
        with pytest.raises(HubError, match=r"could not push to 'no/way' .*403.*token"):
            pipeline.push_to_hub("no/way")


def test_a_saved_index_is_plain_json(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    assert index["_class_name"] == ["pipeline", "UFCPipeline"]
    for name in ("tokenizer", "transformer", "text"):
        module, _ = index[name]
        code = (folder / name / f"{module}.py").read_text()
        compile(code, name, "exec")
