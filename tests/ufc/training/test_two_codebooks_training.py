"""The second stage learns with two codes a cell, resumes, is exported and gone on from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toy_books import CODES, SIZE, books_tokenizer
from toy_data import write_shards
from toy_training import kill_after, model_config

import ufc.training.trainer
from ufc.pipeline import UFCPipeline
from ufc.training.codes.cache import dtype_of
from ufc.training.config import TrainConfig
from ufc.training.export import export_model
from ufc.training.replay_buffer import ReplayBuffer
from ufc_base.checkpoint import CheckpointError


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    folder = tmp_path_factory.mktemp("books")
    books_tokenizer().save_pretrained(folder / "tokenizer")
    data = write_shards(folder / "shards", 12)
    return model_config(
        data, folder / "tokenizer", folder / "model", val_data_dir=str(data), max_train_steps=3,
        estimator_steps=1, checkpointing_steps=2, validation_steps=3, logging_steps=1,
        label_smoothing=0.05, objectives=("autoregressive=0.3",),
    )  # fmt: skip


@pytest.fixture(scope="module")
def model(config: TrainConfig) -> Path:
    return ufc.training.trainer.main(config)


def test_what_is_learnt_can_be_used(model: Path) -> None:
    pipeline = UFCPipeline.from_pretrained(model, dtype="fp32")
    known = pipeline.transformer.config
    assert (known.codes, known.codebooks, known.codebook_size) == (CODES, 2, SIZE)
    assert pipeline("red bag", seed=0, num_inference_steps=2).codes.max() < CODES
    assert pipeline.transformer.links[0].out.weight.any()  # it began as nothing
    assert pipeline("red bag", order="autoregressive", seed=0).codes.max() < CODES
    rows = [json.loads(line) for line in (model / "metrics.jsonl").read_text().splitlines()]
    named = {name for row in rows for name in row}
    for name in ("code_loss", "accuracy_codebook_0", "accuracy_codebook_1", "fidelity_accuracy"):
        assert {name, f"val_{name}"} <= named
    assert "next_code_loss" in named


def test_it_resumes_as_if_unbroken(config: TrainConfig, model: Path, tmp_path: Path) -> None:
    trainer, trained = ufc.training.trainer.Trainer, ufc.training.trainer.Trainer.train_step
    broken = replace(config, output_dir=str(tmp_path / "m"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "train_step", kill_after(trained, 2))
        with pytest.raises(KeyboardInterrupt):
            ufc.training.trainer.main(broken)
    ufc.training.trainer.main(replace(broken, resume_from_checkpoint="latest"))
    one, two = (
        UFCPipeline.from_pretrained(m).transformer.state_dict() for m in (model, tmp_path / "m")
    )
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, msg=name)


def test_a_checkpoint_is_exported_and_gone_on_from(
    config: TrainConfig, model: Path, tmp_path: Path
) -> None:
    exported = replace(config, output_dir=str(tmp_path / "e"))
    export_model(exported, model / "checkpoint-2")
    assert UFCPipeline.from_pretrained(tmp_path / "e").transformer.config.codebooks == 2
    further = replace(
        config, init_from=str(tmp_path / "e"), output_dir=str(tmp_path / "f"), max_train_steps=1
    )
    assert UFCPipeline.from_pretrained(ufc.training.trainer.main(further)).alike[0].shape[0] == 16


def test_another_tokenizers_codes_are_refused(
    config: TrainConfig, model: Path, tmp_path: Path
) -> None:
    other = replace(books_tokenizer().config, n_embed=16, codebooks=1)
    type(books_tokenizer())(other).save_pretrained(tmp_path / "t")
    wrong = replace(
        config, tokenizer=str(tmp_path / "t"), init_from=str(model), output_dir=str(tmp_path / "w")
    )
    with pytest.raises(CheckpointError, match="for 2 x 8 codes of width 4, the tokenizer has 16"):
        ufc.training.trainer.main(wrong)


def test_joint_codes_are_kept_whole() -> None:
    assert [dtype_of(codes) for codes in (2**15, 2**15 + 1, 4096**2, 4096**3)] == [
        torch.int16, torch.int32, torch.int32, torch.int64,
    ]  # fmt: skip
    buffer, large = ReplayBuffer(4), torch.tensor([[0, 4096**3 - 1]])
    buffer.add(torch.tensor([[1, 2]]), [None])  # type: ignore[list-item]
    buffer.add(large, [None])  # type: ignore[list-item]
    found, _ = buffer.sample(16, torch.Generator().manual_seed(0))
    assert {1, 4096**3 - 1} <= set(found.max(1).values.tolist()) | {1}
    assert int(found.max()) == 4096**3 - 1
