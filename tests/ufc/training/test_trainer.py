"""Both trainers: they learn, they resume as if unbroken, and what they write can be used."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import TINY_VQGAN, tiny_tokenizer
from toy_data import write_folder, write_shards
from toy_training import kill_after, model_config, tokenizer_config, weights

import ufc.training.trainer
import vqgan.evaluate
import vqgan.training.trainer
from estimators.compliance import Compliance
from estimators.fidelity import Fidelity
from ufc.conditioning.sequence import ControlItem
from ufc.model.transformer import UFCConfig
from ufc.pipeline import UFCPipeline
from ufc.training.batches import TrainBatch
from ufc.training.objectives.estimators import estimator_batch
from ufc.training.setup import load_tokenizer, open_training, start_model
from ufc_base.checkpoint import CheckpointError
from ufc_base.data.datasets import DataError, Pixels, open_dataset
from vqgan.model import VQGAN
from vqgan.training.starting import with_fit


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("data") / "shards", 12)


@pytest.fixture(scope="module")
def tokenizer(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tokenizer")
    return vqgan.training.trainer.main(tokenizer_config(data, out))


@pytest.fixture(scope="module")
def model(data: Path, tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model")
    return ufc.training.trainer.main(model_config(data, tokenizer, out, dropout=0.1))


def test_tokenizer_training_lowers_the_loss_and_logs(tokenizer: Path) -> None:
    rows = [json.loads(line) for line in (tokenizer / "metrics.jsonl").read_text().splitlines()]
    found = [row for row in rows if "val_psnr" in row]
    assert found[-1]["val_psnr"] > found[0]["val_psnr"]
    assert {"val_codes_used", "val_perplexity"} <= set(found[-1])
    named = {name for row in rows for name in row}
    assert not named & {"val_lpips", "perceptual", "texture"}  # there is no network to tell them
    assert [row["step"] for row in found] == [12, 24]  # the last step once, though it is due twice
    assert (tokenizer / "grid-000024.png").is_file()


def test_tokenizer_resumes_as_if_unbroken(data: Path, tokenizer: Path, tmp_path: Path) -> None:
    steps = {"max_train_steps": 24}
    half = vqgan.training.trainer.TokenizerTrainer
    stopped = tokenizer_config(data, tmp_path, **steps)
    trained = half.train_step
    try:
        half.train_step = kill_after(trained, 15)  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            vqgan.training.trainer.main(stopped)
    finally:
        half.train_step = trained  # type: ignore[method-assign]
    vqgan.training.trainer.main(replace(stopped, resume_from_checkpoint="latest"))
    for name, value in weights(tokenizer).items():
        torch.testing.assert_close(weights(tmp_path)[name], value, msg=name)


def test_a_short_run_on_a_few_pictures_places_every_code(tmp_path: Path) -> None:
    few = write_folder(tmp_path / "few", 2)
    config = tokenizer_config(
        few, tmp_path / "t", max_train_steps=5, codebook_start=200, n_embed=64
    )
    codebook = weights(vqgan.training.trainer.main(config))["quantize.embedding.weight"]
    assert len(codebook.unique(dim=0)) == 64
    assert codebook.std() > 1 / 64


def test_the_tokenizer_says_how_its_pictures_got_their_shape(
    data: Path, tokenizer: Path, tmp_path: Path
) -> None:
    config = tokenizer_config(
        data, tmp_path, init_from=str(tokenizer), fit="stretch", max_train_steps=1
    )
    assert VQGAN.from_pretrained(tokenizer).config.fit == "pad"
    assert VQGAN.from_pretrained(vqgan.training.trainer.main(config)).config.fit == "stretch"


def test_pictures_get_their_shape_as_the_tokenizer_had_them(
    data: Path, tokenizer: Path, tmp_path: Path
) -> None:
    stretched = VQGAN.from_pretrained(tokenizer)
    stretched.config = replace(stretched.config, fit="stretch")
    stretched.save_pretrained(tmp_path / "tokenizer")
    for name, fit, expected in (("own", None, "stretch"), ("said", "crop", "crop")):
        config = model_config(data, tmp_path / "tokenizer", tmp_path / name, fit=fit)
        assert load_tokenizer(config).config.fit == expected
        engine = ufc.training.trainer.make_engine(config)
        batches = open_training(config, load_tokenizer(config), engine)[1]
        pixels = Pixels(open_dataset(data), stretched.config.size, expected)
        codes = stretched.encode(pixels.batch([0])).flatten()
        assert torch.equal(batches.cache.target(0, False), codes)  # type: ignore[union-attr]
    config = tokenizer_config(data, tmp_path / "on", init_from=str(tmp_path / "tokenizer"))
    assert with_fit(config).fit == "stretch"


def test_decoder_alone_can_be_trained_on(data: Path, tokenizer: Path, tmp_path: Path) -> None:
    config = tokenizer_config(
        data, tmp_path, init_from=str(tokenizer), freeze_encoder=True, max_train_steps=4,
        discriminator_weight=0.0, discriminator_start=0.0, logging_steps=2, code_noise=0.5,
    )  # fmt: skip
    vqgan.training.trainer.main(config)
    assert '"loss"' in (tmp_path / "metrics.jsonl").read_text()
    assert "discriminator" not in (tmp_path / "metrics.jsonl").read_text()  # weight 0 is without
    before, after = weights(tokenizer), weights(tmp_path)
    for name, value in after.items():
        moved = not torch.equal(value, before[name])
        assert moved == name.startswith(("decoder.", "post_quant_conv.")), name


def test_model_training_writes_a_model_that_draws(model: Path) -> None:
    pipeline = UFCPipeline.from_pretrained(model)
    out = pipeline("red bag", seed=0, num_inference_steps=3)
    assert out.images[0].size == (16, 16)
    rows = [json.loads(line) for line in (model / "metrics.jsonl").read_text().splitlines()]
    assert {"code_loss", "samples_per_second", "lr"} <= set(rows[-1])
    assert any(name.startswith("accuracy_") for name in rows[-1])
    assert any("compliance_accuracy" in row for row in rows)
    assert (model / "preview-000012.png").is_file()


def test_model_training_resumes_as_if_unbroken(
    data: Path, tokenizer: Path, model: Path, tmp_path: Path
) -> None:
    trainer, trained = ufc.training.trainer.Trainer, ufc.training.trainer.Trainer.train_step
    config = model_config(data, tokenizer, tmp_path, dropout=0.1)
    try:
        trainer.train_step = kill_after(trained, 8)  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            ufc.training.trainer.main(config)
    finally:
        trainer.train_step = trained  # type: ignore[method-assign]
    as_of_an_older_version(tmp_path / "checkpoint-6" / "trainer.pt")
    ufc.training.trainer.main(replace(config, resume_from_checkpoint="latest"))
    one, two = (UFCPipeline.from_pretrained(m).transformer.state_dict() for m in (model, tmp_path))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, msg=name)


def as_of_an_older_version(file: Path) -> None:
    """A checkpoint as it was before objectives had names: what they keep, by process."""
    state = torch.load(file, weights_only=True)
    objectives = state["trainer"].pop("objectives")
    state["trainer"]["banks"] = [one["estimators"] for one in objectives]
    del state["trainer"]["config"], state["skipped"]
    torch.save(state, file)


def test_model_training_goes_on_from_a_model(data: Path, model: Path, tmp_path: Path) -> None:
    config = model_config(data, model, tmp_path, init_from=str(model), max_train_steps=2)
    pipeline = UFCPipeline.from_pretrained(ufc.training.trainer.main(config))
    assert pipeline.text.size == UFCPipeline.from_pretrained(model).text.size


def test_fine_tuning_keeps_the_base_models_defaults(
    data: Path, model: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(model, base)
    index = json.loads((base / "model_index.json").read_text())
    index["defaults"] |= {"guidance_scale": 2.0, "best_of": 2, "order": "halton"}
    (base / "model_index.json").write_text(json.dumps(index))
    config = model_config(
        data, base, tmp_path / "tuned", init_from=str(base), max_train_steps=1,
        validation_prompts=(),
    )  # fmt: skip
    tuned = UFCPipeline.from_pretrained(ufc.training.trainer.main(config)).defaults
    assert (tuned["guidance_scale"], tuned["best_of"], tuned["order"]) == (2.0, 2, "halton")
    fresh = UFCPipeline.from_pretrained(model).defaults
    assert (fresh["guidance_scale"], fresh["best_of"], fresh["order"]) == (3.0, 1, "maskgit")


def test_lpips_is_logged_where_there_is_a_network(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Distance(torch.nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return (x - y).abs().mean((1, 2, 3)) + 1

    monkeypatch.setattr(vqgan.training.trainer, "lpips_model", lambda net: Distance())
    config = tokenizer_config(
        data, tmp_path, perceptual_net="alex", max_train_steps=2, codebook_start=1, logging_steps=1
    )
    vqgan.training.trainer.main(config)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows[0]["perceptual"] > 1 and rows[-1]["val_lpips"] > 1
    assert "texture" not in rows[0]


def test_a_model_to_go_on_from_takes_the_tokenizers_grid_and_has_to_know_its_codes(
    data: Path, model: Path
) -> None:
    config = model_config(data, model, model, init_from=str(model))
    text = UFCPipeline.from_pretrained(model).text
    larger = start_model(config, VQGAN(replace(TINY_VQGAN, resolution=32)), text)
    assert larger.config.grid == 8
    with pytest.raises(CheckpointError, match="16 codes of width 4, the tokenizer has 17 of"):
        start_model(config, VQGAN(replace(TINY_VQGAN, n_embed=17)), text)
    with pytest.raises(CheckpointError, match=r"has 16 of width 8: give --tokenizer \S+, or start"):
        start_model(config, VQGAN(replace(TINY_VQGAN, embed_dim=8)), text)


def test_a_model_to_go_on_from_learns_another_tokenizers_looks_and_keeps_those_it_knows(
    data: Path, model: Path, tmp_path: Path
) -> None:
    whole = UFCPipeline.from_pretrained(model)
    config = model_config(data, model, model, init_from=str(model))
    other = tiny_tokenizer(seed=3)
    codebook = other.quantize.codebook().detach()
    looks = start_model(config, other, whole.text).looks
    torch.testing.assert_close(looks, (codebook - codebook.mean(0)) / codebook.std(0))
    assert not torch.allclose(looks, whole.transformer.looks.float(), atol=0.1)

    whole.save_pretrained(tmp_path / "half", torch.float16)  # as the bundled one is stored
    half = UFCPipeline.from_pretrained(tmp_path / "half")
    config = replace(config, init_from=str(tmp_path / "half"))
    for pipeline in (half, whole):
        looks = start_model(config, pipeline.tokenizer, pipeline.text).looks
        assert torch.equal(looks, half.transformer.looks)


@pytest.mark.parametrize("new_vocabulary", [False, True])
@pytest.mark.parametrize(("said", "wanted"), [(None, 0.1), (0.0, 0.0), (0.3, 0.3)])
def test_dropout_that_is_said_replaces_that_of_the_model_to_go_on_from(
    data: Path, model: Path, said: float | None, wanted: float, new_vocabulary: bool
) -> None:
    pipeline = UFCPipeline.from_pretrained(model)
    config = model_config(
        data, model, model, init_from=str(model), dropout=said, new_vocabulary=new_vocabulary
    )
    started = start_model(config, pipeline.tokenizer, pipeline.text)
    assert started.config.dropout == wanted
    assert {block.dropout for block in started.layers()} == {wanted}


def test_controls_of_a_model_to_go_on_from_see_what_they_have_seen(data: Path, model: Path) -> None:
    pipeline = UFCPipeline.from_pretrained(model)

    def started(**changes: object) -> UFCConfig:
        config = model_config(data, model, model, **changes)
        return start_model(config, pipeline.tokenizer, pipeline.text).config

    assert started(control_attention="full").control_attention == "full"
    assert (started().control_attention, started().dropout) == ("prefix", 0.0)
    for said in (None, "prefix"):
        known = started(init_from=str(model), control_attention=said)
        assert known.control_attention == "prefix"
    with pytest.raises(CheckpointError, match="'prefix', got 'full': leave it out, or start anew"):
        started(init_from=str(model), control_attention="full")


def test_a_wrong_picture_that_came_out_right_is_not_asked_about() -> None:
    """All pictures of the batch are alike, so cells from another one change nothing."""
    items = [ControlItem([word]) for word in range(4)]
    codes, everything = torch.zeros(4, 16, dtype=torch.int64), torch.ones(4, 16, dtype=torch.bool)
    batch = TrainBatch(codes, everything, items, [[-1]] * 4, [[]] * 4)
    for likeliest, filled in ((0, -1), (3, 0)):
        logits = torch.zeros(64, 16)
        logits[:, likeliest] = 99.0
        made = estimator_batch(
            batch,
            logits,
            torch.ones(2, 16).long(),
            items[:2],
            UFCConfig(codes=16, grid=4),
            torch.Generator(),
            4,
        )
        asked = [-1 if grid.eq(16).any() else 1 for grid in made.codes_BT[:4]]
        assert Fidelity().labels(made.examples).tolist() == asked + [-1] * 4 + [0, 0] + [filled, -1]
        assert Compliance().labels(made.examples).tolist() == [1] * 4 + [0] * 4 + [-1] * 4


def test_a_new_vocabulary_starts_from_what_is_known(
    data: Path, model: Path, tmp_path: Path
) -> None:
    before = UFCPipeline.from_pretrained(model)
    changes = {"init_from": str(model), "new_vocabulary": True, "text_vocabulary": 270}
    config = model_config(data, model, tmp_path, max_train_steps=1, learning_rate=0.0, **changes)
    after = UFCPipeline.from_pretrained(ufc.training.trainer.main(config))
    assert after.text.size == after.transformer.config.text_vocabulary == 270 < before.text.size
    torch.testing.assert_close(after.transformer.code_rows(), before.transformer.code_rows())
    old, new = (pipeline.transformer.embedding.weight for pipeline in (before, after))
    for word, pieces in enumerate(after.text.spellings(before.text)):
        torch.testing.assert_close(new[word], old[pieces].mean(0))


def test_held_out_figures_are_logged(data: Path, tokenizer: Path, tmp_path: Path) -> None:
    val = write_folder(tmp_path / "val", 6)
    out = ufc.training.trainer.main(
        model_config(data, tokenizer, tmp_path / "m", val_data_dir=str(val), max_train_steps=2)
    )
    last = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])
    assert {"val_code_loss", "val_compliance_loss", "val_fidelity_accuracy"} <= set(last)


def test_what_cannot_be_trained_on_is_named(tmp_path: Path, tokenizer: Path) -> None:
    with pytest.raises(DataError, match="no data at"):
        vqgan.training.trainer.main(tokenizer_config(tmp_path / "no", tmp_path / "out"))
    folder = write_folder(tmp_path / "f")
    (folder / "metadata.jsonl").unlink()
    with pytest.raises(DataError, match=r"no sample has a caption in .*--caption-column"):
        ufc.training.trainer.main(model_config(folder, tokenizer, tmp_path / "out"))
    of_another_size = {"init_from": str(tokenizer), "resolution": 32}
    with pytest.raises(CheckpointError, match="give --height 16 --width 16"):
        vqgan.training.trainer.main(tokenizer_config(folder, tmp_path / "out", **of_another_size))
    with pytest.raises(ValueError, match="give --init-from"):
        vqgan.training.trainer.main(tokenizer_config(folder, tmp_path / "out", freeze_encoder=True))
    with pytest.raises(CheckpointError, match="no-such"):
        ufc.training.trainer.main(model_config(folder, Path("no-such"), tmp_path / "out"))


def test_a_tokenizer_that_is_not_there_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert vqgan.evaluate.main([str(tmp_path), "--data", str(tmp_path)]) == 2
    assert "config.json does not exist" in capsys.readouterr().err


def test_smaller_pictures_first(tmp_path: Path) -> None:
    """A run on half the size makes a model of that size, which another goes on from."""
    data = write_folder(tmp_path / "data")
    tiny_tokenizer().save_pretrained(tmp_path / "tokenizer")
    half = model_config(
        data, tmp_path / "tokenizer", tmp_path / "half", picture_scale=0.5, max_train_steps=2
    )
    ufc.training.trainer.main(half)
    small = UFCPipeline.from_pretrained(tmp_path / "half", dtype="fp32")
    assert small.grid_size == (2, 2) and small("red bag").images[0].size == (8, 8)
    whole = replace(half, picture_scale=1.0, init_from=str(tmp_path / "half"))
    ufc.training.trainer.main(replace(whole, output_dir=str(tmp_path / "whole")))
    assert UFCPipeline.from_pretrained(tmp_path / "whole").grid_size == (4, 4)
    with pytest.raises(ValueError, match="picture_scale: got 0"):
        replace(half, picture_scale=0.0)
    with pytest.raises(ValueError, match="multiple of 4"):
        ufc.training.trainer.main(
            replace(half, picture_scale=0.3, output_dir=str(tmp_path / "odd"))
        )
