"""The contrastive estimator: towers, loss, two stages of training, and the reranker."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import TEXTS, tiny_tokenizer
from PIL import Image
from toy_contrastive import SIZES, tiny_model
from toy_data import write_folder

from estimators.contrastive import (
    ContrastiveConfig,
    ContrastiveModel,
    contrastive_loss,
    fit_calibration,
)
from ufc.conditioning.text import TextTokenizer
from ufc.contrastive_scorer import ContrastiveEstimator, make_contrastive_reranker
from ufc.pipeline import UFCPipeline
from ufc.sampling.selection.rerankers import rerank
from ufc.training.contrastive_training import ContrastiveTrainConfig, Minibatches, Trainer, main
from ufc_base.checkpoint import CheckpointError
from ufc_base.data.datasets import Pixels, open_dataset
from ufc_base.images import to_tensor


@pytest.fixture(scope="module")
def estimator() -> ContrastiveEstimator:
    text = TextTokenizer.train(TEXTS, 300)
    return ContrastiveEstimator(tiny_model(text.size), text)


def pictures(count: int) -> list[Image.Image]:
    return [Image.new("RGB", (20, 24), (40 * n, 90, 255 - 40 * n)) for n in range(count)]


def test_embeddings_have_length_one_and_do_not_depend_on_the_batch(
    estimator: ContrastiveEstimator,
) -> None:
    images = estimator.embed_images(pictures(3))
    assert torch.allclose(images.norm(dim=1), torch.ones(3))
    assert torch.allclose(estimator.embed_images(pictures(3)[1:2])[0], images[1], atol=1e-5)
    texts = estimator.embed_texts(["red bag", "men's blue shirt", "", "男士黑色手表"])
    assert torch.allclose(texts.norm(dim=1), torch.ones(4))
    alone = estimator.embed_texts(["red bag"])
    assert torch.allclose(alone[0], texts[0], atol=1e-5)


@pytest.mark.parametrize("sizes", [{"text_width": 18}, {"image_width": 0}, {"heads": 0}])
def test_widths_are_multiples_of_the_heads(sizes: dict[str, int]) -> None:
    with pytest.raises(CheckpointError, match="wanted a multiple of the heads"):
        ContrastiveConfig(**sizes)  # type: ignore[arg-type]


def test_a_text_beyond_the_context_is_shortened() -> None:
    model = tiny_model()
    length = model.config.max_tokens
    ids = list(range(200))
    assert torch.allclose(model.text([ids]), model.text([ids[:length]]))


def test_loss_falls_as_pairs_agree_and_equal_captions_share_their_label() -> None:
    scale = torch.tensor(2.0)
    right, wrong = torch.eye(4), torch.eye(4).roll(1, 0)
    assert contrastive_loss(right, right, scale) < contrastive_loss(right, wrong, scale)
    twins = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    alike = torch.ones(2, 2, dtype=torch.bool)
    assert contrastive_loss(twins, twins, scale, alike) == pytest.approx(torch.tensor(2.0).log())
    huge = contrastive_loss(right, right, torch.tensor(50.0))
    assert torch.isfinite(huge) and huge == contrastive_loss(right, right, torch.tensor(4.6052))


def test_calibration_gives_even_odds_between_the_two_sides() -> None:
    generator = torch.Generator().manual_seed(0)
    own = torch.randn(8000, generator=generator) * 0.1 + 0.6
    other = torch.randn(4000, generator=generator) * 0.1 + 0.2
    a, b = fit_calibration(own, other)
    assert torch.sigmoid(a * 0.4 + b) == pytest.approx(0.5, abs=0.05)
    assert torch.sigmoid(a * 0.6 + b) > 0.9
    assert torch.isfinite(fit_calibration(torch.ones(9), torch.zeros(9))).all()


def test_it_survives_a_folder_and_half_precision(
    estimator: ContrastiveEstimator, tmp_path: Path
) -> None:
    estimator.save_pretrained(tmp_path / "towers", torch.float16)
    loaded = ContrastiveEstimator.from_pretrained(tmp_path / "towers")
    a, b = estimator.embed_texts(TEXTS[:3]), loaded.embed_texts(TEXTS[:3])
    assert torch.allclose(a, b, atol=1e-2)
    with pytest.raises(CheckpointError, match="ufc train-contrastive"):
        ContrastiveEstimator.from_pretrained(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match="not of one model"):
        ContrastiveEstimator(tiny_model(7), estimator.text)


def config_for(tmp_path: Path, **changes: object) -> ContrastiveTrainConfig:
    config = ContrastiveTrainConfig(
        train_data_dir=str(tmp_path / "data"),
        val_data_dir=str(tmp_path / "data"),
        model=str(tmp_path / "model"),
        output_dir=str(tmp_path / "out"),
        train_batch_size=8,
        frozen_steps=6,
        max_train_steps=10,
        lr_warmup_steps=1,
        checkpointing_steps=3,
        logging_steps=5,
        frozen_learning_rate=3e-3,
        **SIZES,  # type: ignore[arg-type]
    )
    return replace(config, **changes)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path, pipeline: UFCPipeline) -> Path:
    write_folder(tmp_path / "data", 16)
    pipeline.save_pretrained(tmp_path / "model")
    return tmp_path


def test_stage_one_leaves_the_encoder_alone_and_stage_two_does_not(folder: Path) -> None:
    one = main(config_for(folder, frozen_steps=4, max_train_steps=4, output_dir=str(folder / "1")))
    start = tiny_tokenizer().encoder.state_dict()
    frozen = one.model.image.encoder.state_dict()
    assert all(torch.equal(frozen[name], start[name]) for name in frozen)
    two = main(config_for(folder, max_train_steps=8, output_dir=str(folder / "2")))
    freed = two.model.image.encoder.state_dict()
    assert any(not torch.equal(freed[name], start[name]) for name in freed)


def test_training_learns_resumes_and_reports(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = main(config_for(folder, frozen_steps=80, max_train_steps=82))
    said = capsys.readouterr().err
    assert "r_precision_en" in said and "image_to_text_zh@5" in said
    log = (folder / "out" / "metrics.jsonl").read_text().splitlines()
    assert len(log) >= 7
    samples = open_dataset(folder / "data")
    texts = [samples.record(n)["text"] for n in range(4)]
    found = whole.embed_images(samples[n].image for n in range(4)) @ whole.embed_texts(texts).T
    assert (found.argmax(1) == torch.arange(4)).all()
    broken = config_for(folder, frozen_steps=2, output_dir=str(folder / "b"))
    main(replace(broken, max_train_steps=3))
    resumed = main(replace(broken, max_train_steps=5, resume_from_checkpoint="latest"))
    assert resumed.embed_texts(texts).shape == whole.embed_texts(texts).shape
    with pytest.raises(CheckpointError, match="resume it"):
        main(broken)


def test_pictures_that_are_not_square_are_softened_in_their_shape(tmp_path: Path) -> None:
    samples = open_dataset(write_folder(tmp_path / "data", 8))
    text = TextTokenizer.train(TEXTS, 300)
    portrait = Minibatches(samples, Pixels(samples, (24, 16), "stretch"), text, 0)
    assert portrait.pictures(list(range(8)), 1).shape == (8, 3, 24, 16)


def test_a_checkpoint_holds_everything(pipeline: UFCPipeline) -> None:
    tokenizer = tiny_tokenizer()
    config = ContrastiveTrainConfig(**SIZES)  # type: ignore[arg-type]
    a, b = Trainer(config, tokenizer, 300), Trainer(config, tokenizer, 300)
    a.begin_stage(2)
    images, texts = torch.rand(4, 3, 16, 16), [[1, 2], [3], [4, 5, 6], [7]]
    a.model.eval(), b.model.eval()
    a.train_step(images, texts, torch.eye(4, dtype=torch.bool), 0.1, 50)
    b.load_state_dict(copy.deepcopy(a.state_dict()))
    a.model.eval(), b.model.eval()
    for trainer in (a, b):
        trainer.train_step(images, texts, torch.eye(4, dtype=torch.bool), 0.2, 51)
    assert (a.step, a.stage) == (b.step, b.stage) == (2, 2)
    for name, value in a.model.state_dict().items():
        assert torch.equal(value, b.model.state_dict()[name]), name


def test_the_reranker_blends_into_compliance_and_chooses(
    pipeline: UFCPipeline, estimator: ContrastiveEstimator
) -> None:
    codes = torch.randint(0, 16, (4, 16), generator=torch.Generator().manual_seed(0))
    owner, own = torch.tensor([0, 0, 1, 1]), torch.full((4,), 0.25)
    for weight in (0.5, 1.0):
        voice = make_contrastive_reranker(estimator, ["red bag", None], weight)
        score = rerank(lambda *_: {"compliance": own}, [voice], pipeline.decode)
        scores = score(codes, owner)
        blended = scores["compliance"]
        images = estimator.embed_pixels(pipeline.decode(codes[:2]))
        chance = estimator.probability(images, estimator.embed_texts(["red bag"] * 2))
        assert torch.allclose(blended[:2], (1 - weight) * 0.25 + weight * chance)
        assert torch.equal(blended[2:], own[2:])  # no words, no voice
        assert torch.allclose(scores["contrastive"][:2], chance)
        assert scores["contrastive"][2:].isnan().all()
    with pytest.raises(ValueError, match="0 to 1"):
        make_contrastive_reranker(estimator, ["a"], 1.5)
    pipeline.contrastive = estimator
    settings = {"seed": 3, "num_candidates": 4, "num_inference_steps": 3, "order": "pnag"}
    silent = pipeline("red bag", **settings)
    heard = pipeline("red bag", contrastive_weight=1.0, compliance_weight=1.0, **settings)
    pipeline.contrastive = None
    images = estimator.embed_images(heard.images)
    chance = estimator.probability(images, estimator.embed_texts(["red bag"]))
    assert heard.compliance[0] == pytest.approx(float(chance), abs=0.02)
    assert heard.compliance != silent.compliance


def test_towers_of_pictures_that_are_not_square() -> None:
    encoder = tiny_tokenizer().config.to_dict() | {"height": 24, "width": 16}
    config = ContrastiveConfig(encoder=encoder, text_vocabulary=300, heads=2, **SIZES)  # type: ignore[arg-type]
    text = TextTokenizer.train(["red bag"], 300)
    config = replace(config, text_vocabulary=text.size)
    estimator = ContrastiveEstimator(ContrastiveModel(config), text)
    tall = Image.new("RGB", (16, 24), (200, 30, 30))
    own = estimator.embed_images([tall])
    assert torch.allclose(own, estimator.embed_pixels(to_tensor([tall])), atol=1e-5)
    wide = torch.nn.functional.pad(to_tensor([tall]), (8, 8, 0, 0), value=1.0)  # white beside it
    assert estimator.embed_pixels(wide).shape == own.shape
