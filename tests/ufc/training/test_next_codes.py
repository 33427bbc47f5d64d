"""Both ways to generate learnt at once, and words learnt from words alone."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from cli_helpers import manifest
from conftest import make_pipeline, tiny_transformer
from toy_data import write_folder
from toy_training import model_config

import ufc.training.trainer
from ufc.cli.main import main
from ufc.conditioning.sequence import ControlItem
from ufc.pipeline import UFCPipeline
from ufc.sampling.config import SamplerConfig
from ufc.sampling.generate import generate_tokens
from ufc.sampling.guidance import make_prefix
from ufc.sampling.loop import Problem
from ufc.training.batches import TrainBatch
from ufc.training.conditioning_dropout import ControlOdds, sample_controls
from ufc.training.masks import training_masks
from ufc.training.objectives.autoregressive import next_codes, share_of
from ufc.training.objectives.masked_codes import code_loss


def test_one_training_teaches_both_ways() -> None:
    """Four pictures by heart: each comes out of its own word, all at once and code by code."""
    model = tiny_transformer(50, depth=1, autoregressive=True)
    model.apply(model.initialise)
    model.train()
    generator = torch.Generator().manual_seed(0)
    codes_BT = torch.randint(0, 16, (4, 16), generator=generator)
    items = [ControlItem([word]) for word in range(4)]
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(150):
        masks = training_masks(4, (4, 4), generator)
        found = code_loss(model, TrainBatch(codes_BT, masks, items, [], []), 0.0)
        loss = found.loss + next_codes(model, codes_BT, found.prefix, 0.0).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        log = next_codes(model, codes_BT, make_prefix(model, items), 0.0).log
    assert log["next_code_accuracy"] == 1 and log["next_code_loss"] < 0.1
    for order in ("autoregressive", "maskgit"):
        start = torch.zeros_like(codes_BT)
        chance = [torch.Generator().manual_seed(seed) for seed in range(4)]
        problem = Problem(start, start.bool(), 16, chance, (4, 4))
        config = SamplerConfig(order=order, steps=8, temperature=0.0)
        generated = generate_tokens(model, items, None, problem, config).canvas.codes
        assert (generated == codes_BT).float().mean() > 0.95, order


@pytest.mark.parametrize(("samples", "share", "expected"), [
    (8, 0.25, [3, 7]), (4, 0.25, [3]), (4, 1.0, [0, 1, 2, 3]), (2, 0.25, [1]), (10, 0.3, [3, 6, 9]),
])  # fmt: skip
def test_who_takes_part(samples: int, share: float, expected: list[int]) -> None:
    assert share_of(samples, share) == expected


def test_training_by_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_pipeline().save_pretrained("old")
    data = write_folder(tmp_path / "data")
    code = main([
        "train", "--train-data-dir", str(data), "--tokenizer", "old", "--output-dir", "new",
        "--width", "32", "--depth", "1", "--heads", "2", "--feed-forward", "48",
        "--text-vocabulary", "300", "--train-batch-size", "4", "--gradient-accumulation-steps", "2",
        "--max-train-steps", "2", "--logging-steps", "1", "--neighbour-keys", "type",
        "--validation-prompts", "bag", "--device", "cpu", "--data-workers", "0",
        "--estimator-start", "1", "--objectives", "autoregressive=0.3",
        "--autoregressive-share", "0.5", "--text-only", "1",
    ])  # fmt: skip
    assert code == 0
    rows = [json.loads(line) for line in Path("new/metrics.jsonl").read_text().splitlines()]
    values = {name: value for row in rows for name, value in row.items()}
    assert 1 < values["next_code_loss"] < 6 and 0 <= values["next_code_accuracy"] <= 1
    assert values["text_loss"] > 1
    code = main(["generate", "--model", "new", "--order", "autoregressive", "--prompt", "bag",
                 "--top-k", "4", "--top-p", "0.9", "--output-dir", "out"])  # fmt: skip
    row = manifest()[0]
    assert code == 0 and (row["order"], row["top_k"], row["top_p"]) == ("autoregressive", 4, 0.9)
    assert row["steps"] == 16


def test_an_old_model_learns_it(tmp_path: Path) -> None:
    old = make_pipeline()
    old.save_pretrained(tmp_path / "old")
    data = write_folder(tmp_path / "data")
    config = model_config(
        data, tmp_path / "old", tmp_path / "new", init_from=str(tmp_path / "old"),
        objectives=("autoregressive=1",), max_train_steps=1, val_data_dir=str(data),
        learning_rate=0.0, weight_decay=0.0, validation_steps=1,
    )  # fmt: skip
    folder = ufc.training.trainer.main(config)
    pipe = UFCPipeline.from_pretrained(folder, dtype="fp32")
    before = old.transformer.state_dict()
    after = pipe.transformer.state_dict()
    assert set(after) - set(before) == {"causal_marks.weight"}
    assert all(torch.equal(after[name], value) for name, value in before.items() if name != "looks")
    assert pipe("bag", seed=1, order="autoregressive").steps == [16]
    assert "val_next_code_loss" in (folder / "metrics.jsonl").read_text()
    with pytest.raises(ValueError, match="autoregressive_share is 0"):
        ufc.training.trainer.main(
            replace(config, autoregressive_share=0.0, output_dir=str(tmp_path / "other"))
        )


def test_words_are_told_from_words_alone() -> None:
    texts, mask = [[1, 2, 3, 4]], 99
    odds = ControlOdds(text_only=0.5)
    sampled = [sample_controls(texts, 0, odds, mask, random.Random(n)) for n in range(200)]
    masked = [one for one in sampled if any(label >= 0 for label in one.labels)]
    assert 70 < len(masked) < 110
    for one in masked:
        restored = [
            max(pair) if pair[1] >= 0 else pair[0]
            for pair in zip(
                [0 if word == mask else word for word in one.ids], one.labels, strict=True
            )
        ]
        assert restored == texts[0] and one.references == 0
    assert all(
        max(sample_controls(texts, 0, ControlOdds(), mask, random.Random(n)).labels, default=-1) < 0
        for n in range(50)
    )


def test_next_codes_alone_are_learnt_and_are_the_order_of_the_model(tmp_path: Path) -> None:
    make_pipeline().save_pretrained(tmp_path / "old")
    data = write_folder(tmp_path / "data")
    config = model_config(
        data, tmp_path / "old", tmp_path / "new", objectives=("autoregressive=1",),
        autoregressive_share=1.0, code_weight=0.0, text_weight=0.0, estimator_weight=0.0,
        max_train_steps=2, logging_steps=1,
    )  # fmt: skip
    folder = ufc.training.trainer.main(config)
    row = json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])
    assert row["code_loss"] > 1  # looked at, not learnt
    pipe = UFCPipeline.from_pretrained(folder, dtype="fp32")
    assert pipe.defaults["order"] == "autoregressive" and pipe("bag", seed=1).steps == [16]
    with pytest.raises(ValueError, match="nothing else that is learnt"):
        ufc.training.trainer.main(
            replace(config, objectives=(), output_dir=str(tmp_path / "other"))
        )
