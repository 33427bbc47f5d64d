"""Finding models: by name, by folder, on the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from toy_hub import ToyHub

from ufc.io.hub import bundled_models, manifest, resolve_model
from ufc.pipeline import UFCPipeline
from ufc_base.checkpoint import CheckpointError


def test_a_bundled_model_is_found_by_name(
    pipeline: UFCPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.save_pretrained(tmp_path / "mine")
    monkeypatch.setenv("UFC_MODEL_DIR", str(tmp_path))
    assert bundled_models() == ["mine"]
    assert resolve_model("mine") == tmp_path / "mine"
    assert set(manifest(tmp_path)) == {
        "mine/model_index.json",
        "mine/tokenizer.json",
        "mine/pipeline.py",
        "mine/text/ufc_part.py",
        "mine/tokenizer/config.json",
        "mine/tokenizer/ufc_part.py",
        "mine/transformer/ufc_part.py",
        "mine/tokenizer/model.safetensors",
        "mine/transformer/config.json",
        "mine/transformer/model.safetensors",
    }


def test_a_hub_repository_is_fetched(
    pipeline: UFCPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.save_pretrained(tmp_path / "snapshot")
    asked: dict[str, Any] = {}

    def download(repository: str, **settings: Any) -> str:
        asked.update(settings, repository=repository)
        return str(tmp_path / "snapshot")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    loaded = UFCPipeline.from_pretrained("someone/model", revision="v2", local_files_only=True)
    assert loaded.grid == pipeline.grid
    assert (asked["repository"], asked["revision"]) == ("someone/model", "v2")
    assert asked["local_files_only"] is True
    assert not any("bin" in pattern or "pt" in pattern for pattern in asked["allow_patterns"])


def test_a_hub_that_does_not_answer_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(repository: str, **settings: Any) -> str:
        raise ConnectionError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(CheckpointError, match=r"someone/model.*no network.*give a folder"):
        resolve_model("someone/model")


def test_push_uploads_a_whole_model_folder(
    pipeline: UFCPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = ToyHub(monkeypatch)
    assert pipeline.push_to_hub("me/model", private=True, token="t").endswith("me/model")
    assert (hub.token, hub.created) == ("t", [("me/model", True)])
    assert {"transformer/model.safetensors", "README.md"} <= hub.files
