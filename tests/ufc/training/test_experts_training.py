"""A model of sparse experts is trained, resumed and used from end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from conftest import make_pipeline
from toy_data import write_folder
from toy_training import kill_after, model_config

import ufc.training.trainer
from ufc.pipeline import UFCPipeline
from ufc_base.checkpoint import CheckpointError

MOE = {"ffn": "moe", "experts": 4, "prototypes": 2, "balance_weight": 0.1, "capacity_factor": 0.5}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experts")
    make_pipeline().save_pretrained(folder / "base")
    write_folder(folder / "data")
    return folder


def train(base: Path, out: Path, **changes: object) -> Path:
    config = model_config(base / "data", base / "base", out, max_train_steps=6, **changes)
    return ufc.training.trainer.main(config)


def log(folder: Path) -> list[dict]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if "code_loss" in row]


def test_experts_are_trained_and_tell_of_their_load(base: Path, tmp_path: Path) -> None:
    folder = train(base, tmp_path, **MOE)
    row = log(folder)[-1]
    assert 0 < row["experts_dropped"] < 1
    assert row["experts_balance"] > 0 and row["experts_imbalance"] >= 0
    pipeline = UFCPipeline.from_pretrained(folder, dtype="fp32")
    assert pipeline.transformer.config.ffn == "moe"
    assert pipeline.transformer.config.capacity_factor == 0.5
    assert pipeline("red bag", seed=0, num_inference_steps=2).images[0].size == (16, 16)
    on = train(base, tmp_path / "on", init_from=str(folder), capacity_factor=2.0)
    assert UFCPipeline.from_pretrained(on).transformer.config.capacity_factor == 2.0
    assert log(on)[-1]["experts_dropped"] < row["experts_dropped"]
    with pytest.raises(CheckpointError, match="has ffn 'moe', got 'dense'"):
        train(base, tmp_path / "dense", init_from=str(folder), ffn="dense")


def test_a_run_resumes_as_if_unbroken_with_gradient_checkpointing(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = train(base, tmp_path / "plain", **MOE)
    config = model_config(
        base / "data", base / "base", tmp_path / "again", max_train_steps=6,
        gradient_checkpointing=True, checkpointing_steps=3, **MOE,
    )  # fmt: skip
    trainer = ufc.training.trainer.Trainer
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "train_step", kill_after(trainer.train_step, 4))
        with pytest.raises(KeyboardInterrupt):
            ufc.training.trainer.main(config)
    config.resume_from_checkpoint = "latest"
    again = ufc.training.trainer.main(config)
    assert log(again)[-1]["experts_balance"] == pytest.approx(log(plain)[-1]["experts_balance"])
    first, second = (
        UFCPipeline.from_pretrained(f, dtype="fp32").transformer.state_dict()
        for f in (plain, again)
    )
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, msg=name)


def test_a_dense_run_says_nothing_of_experts(base: Path, tmp_path: Path) -> None:
    assert not any(name.startswith("experts") for name in log(train(base, tmp_path))[-1])
