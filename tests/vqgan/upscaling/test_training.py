"""The upscaler's pairs and its training, on photographs made here."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY_VQGAN
from PIL import Image

from ufc_base.data.datasets import DataError, open_dataset
from vqgan.model import VQGAN
from vqgan.upscaling.config import UpscalerTrainConfig
from vqgan.upscaling.data import Crops, Pairs
from vqgan.upscaling.metrics import enlargement_report, lanczos, plain_reports
from vqgan.upscaling.model import Upscaler, bicubic
from vqgan.upscaling.trainer import UpscalerTrainer, main


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten photographs of 32 x 32 pixels, stripes of every second one, and three too small."""
    folder, rng = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    for number in range(13):
        side = 32 if number < 10 else 31
        pixels = np.full((side, side, 3), 255, np.uint8)
        pixels[8:24, 8:24] = rng.integers(0, 200, 3, np.uint8)
        pixels[8:24:2, 8:24] = 40
        Image.fromarray(pixels).save(folder / f"p{number:02d}.png")
    return folder


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("tokenizer") / "model" / "tokenizer"
    VQGAN(TINY_VQGAN).save_pretrained(folder)
    return folder


@pytest.fixture
def config(data: Path, tokenizer: Path, tmp_path: Path) -> UpscalerTrainConfig:
    return UpscalerTrainConfig(
        train_data_dir=str(data), tokenizer=str(tokenizer), output_dir=str(tmp_path / "run"),
        width=8, depth=1, crop_pixels=8, train_batch_size=4, max_train_steps=40,
        learning_rate=1e-2, lr_warmup_steps=1, ema_decay=0.5, perceptual_net="none",
        checkpointing_steps=20, validation_steps=20, logging_steps=10, device="cpu",
        mixed_precision="no",
    )  # fmt: skip


def build(tokenizer: Path, data: Path, file: Path) -> Pairs:
    return Pairs.build(VQGAN.from_pretrained(tokenizer), open_dataset(data), file, "pad")


def test_pairs_are_reconstructions_of_what_is_large_enough(
    tokenizer: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = build(tokenizer, data, tmp_path / "pairs.safetensors")
    assert len(pairs) == 10 and pairs.small_NCHW.shape == (10, 3, 16, 16)
    small, large = pairs.batch([3, 4])
    photograph = Image.open(data / "p03.png")
    assert torch.equal(large[0], torch.tensor(np.array(photograph)).permute(2, 0, 1) / 127.5 - 1)
    model = VQGAN.from_pretrained(tokenizer)
    reduced = np.asarray(photograph.resize((16, 16), Image.Resampling.BICUBIC))
    x = torch.tensor(reduced).permute(2, 0, 1)[None] / 127.5 - 1
    torch.testing.assert_close(small[:1], model.decode(model.encode(x)).detach(), atol=0.01, rtol=0)

    def never(*_: object) -> None:
        raise AssertionError("encoded again")

    with monkeypatch.context() as patch:
        patch.setattr(VQGAN, "encode", never)
        again = build(tokenizer, data, tmp_path / "pairs.safetensors")
        assert torch.equal(again.small_NCHW, pairs.small_NCHW)
        other = VQGAN.from_pretrained(tokenizer)
        torch.nn.init.zeros_(other.decoder.conv_out.weight)
        with pytest.raises(AssertionError, match="encoded again"):
            Pairs.build(other, open_dataset(data), tmp_path / "pairs.safetensors", "pad")


def test_crops_are_a_function_of_the_step_and_lie_alike_in_both_sizes(
    tokenizer: Path, data: Path, tmp_path: Path, config: UpscalerTrainConfig
) -> None:
    pairs = build(tokenizer, data, tmp_path / "pairs.safetensors")
    pairs.small_NCHW = torch.stack([pairs.large.uint8(i)[:, ::2, ::2] for i in range(10)])
    whole = Crops(pairs, config, range(4))
    small, large = whole(7)
    assert small.shape == (4, 3, 8, 8) and large.shape == (4, 3, 16, 16)
    halves = [Crops(pairs, config, places)(7) for places in (range(2), range(2, 4))]
    assert torch.equal(torch.cat([half[0] for half in halves]), small)
    assert torch.equal(torch.cat([half[1] for half in halves]), large)
    assert not torch.equal(whole(8)[0], small)
    for step in range(6):
        small, large = whole(step)
        columns = large[..., ::2, :].unflatten(-1, (-1, 2))  # mirrored ones begin with the other
        assert torch.equal(small, torch.where(columns[..., 0] == small, *columns.unbind(-1)))


def test_training_beats_plain_enlargement_and_says_so(config: UpscalerTrainConfig) -> None:
    folder = main(config)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    (first, last) = (row for row in rows if "val_psnr" in row)
    assert {"val_psnr_bicubic", "val_psnr_lanczos"} <= set(last) and "val_lpips" not in last
    assert last["val_psnr"] > last["val_psnr_bicubic"] + 1
    assert first["val_psnr_bicubic"] == last["val_psnr_bicubic"]
    assert {"l1", "edges", "loss", "lr"} <= set(rows[0]) and "chroma" not in rows[0]
    with Image.open(folder / "grid-000040.png") as sheet:
        assert sheet.size == (6 * 32, 3 * 32)
    model = Upscaler.from_pretrained(folder)
    assert model.config.width == 8
    assert (folder / "model.safetensors").stat().st_size < 2.5 * sum(
        p.numel() for p in model.parameters()
    ) + 4000


def test_a_resumed_run_is_the_unbroken_one(config: UpscalerTrainConfig, tmp_path: Path) -> None:
    half = replace(config, output_dir=str(tmp_path / "half"))
    main(replace(half, max_train_steps=20, lr_decay_start=1.0))
    whole = replace(config, output_dir=str(tmp_path / "whole"), lr_decay_start=1.0)
    main(whole)
    main(replace(half, lr_decay_start=1.0, resume_from_checkpoint="latest"))
    expected = Upscaler.from_pretrained(tmp_path / "whole").state_dict()
    for name, value in Upscaler.from_pretrained(tmp_path / "half").state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_gradients_of_parts_are_those_of_the_whole(config: UpscalerTrainConfig) -> None:
    pair = torch.rand(4, 3, 8, 8), torch.rand(4, 3, 16, 16)
    once = UpscalerTrainer(config)
    parts = UpscalerTrainer(replace(config, gradient_accumulation_steps=2))
    losses = [float(one.train_step(pair, 0.0)["loss"]) for one in (once, parts)]
    assert losses[0] == pytest.approx(losses[1])
    for one, other in zip(once.model.parameters(), parts.model.parameters(), strict=True):
        assert one.grad is not None and other.grad is not None
        torch.testing.assert_close(one.grad, other.grad, atol=1e-6, rtol=1e-3)


def test_a_model_of_its_own_goes_on_and_a_models_folder_has_the_tokenizer(
    config: UpscalerTrainConfig, tokenizer: Path, tmp_path: Path
) -> None:
    short = replace(config, max_train_steps=2, tokenizer=str(tokenizer.parent))
    first = main(short)
    second = replace(short, output_dir=str(tmp_path / "second"), init_from=str(first), width=99)
    assert Upscaler.from_pretrained(main(second)).config.width == 8


def test_what_cannot_be_learnt_from_is_refused(
    config: UpscalerTrainConfig, data: Path, tmp_path: Path
) -> None:
    little = tmp_path / "little"
    little.mkdir()
    Image.open(data / "p12.png").save(little / "a.png")
    with pytest.raises(DataError, match="none of 1 pictures has 32 x 32 pixels or more"):
        main(replace(config, train_data_dir=str(little)))
    with pytest.raises(ValueError, match=r"crop_pixels is 17, .* wanted 16 or less"):
        main(replace(config, crop_pixels=17, output_dir=str(tmp_path / "b")))
    with pytest.raises(ValueError, match="LPIPS would see crops of 8 pixels"):
        replace(config, perceptual_net="alex")
    with pytest.raises(ValueError, match="foreground_share is a share"):
        replace(config, foreground_share=1.5)


def test_reports_are_means_over_pictures(tokenizer: Path, data: Path, tmp_path: Path) -> None:
    pairs = build(tokenizer, data, tmp_path / "pairs.safetensors")

    def distance(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return (y - x).abs().flatten(1).mean(1)

    found = plain_reports(pairs, distance, range(3))
    assert set(found) == {f"{f}_{n}" for f in ("psnr", "lpips") for n in ("bicubic", "lanczos")}
    small, large = pairs.batch(range(3))
    error = distance(bicubic(small).clamp(-1, 1), large).mean().item()
    assert found["lpips_bicubic"] == pytest.approx(error)
    one = enlargement_report(lanczos, pairs, None, [2], batch_size=1)
    assert set(one) == {"psnr"} and lanczos(small).shape == large.shape
