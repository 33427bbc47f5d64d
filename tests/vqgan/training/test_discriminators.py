"""A discriminator on a frozen network's features, and pictures of generated codes to judge."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from conftest import TINY_VQGAN
from safetensors.torch import save_file
from torch import Tensor, nn
from toy_data import write_folder
from toy_training import tokenizer_config, weights

from ufc_base.checkpoint import CheckpointError
from vqgan.model import VQGAN
from vqgan.training import trainer as first_stage
from vqgan.training.discriminators import (
    BothDiscriminators,
    FeatureDiscriminator,
    backbone_features,
    discriminator_loss,
)
from vqgan.training.generated_codes import GeneratedCodes


class ToyLpips(nn.Module):
    """What of LPIPS the program uses: a distance, and a backbone of two levels."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.scaling_layer = nn.Identity()
        self.first = nn.Conv2d(3, 6, 3, stride=2)
        self.second = nn.Conv2d(6, 8, 3, stride=2)
        self.requires_grad_(False)

    def net(self, x: Tensor) -> list[Tensor]:
        first = self.first(x).relu()
        return [first, self.second(first).relu()]

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        pairs = zip(self.net(x), self.net(y), strict=True)
        return sum((a - b).square().mean((1, 2, 3)) for a, b in pairs)  # type: ignore[return-value]


def test_each_level_counts_alike_and_the_backbone_is_no_part_of_the_state() -> None:
    model = FeatureDiscriminator(backbone_features(ToyLpips()), 4)
    logits = model(torch.rand(2, 3, 32, 24))
    assert logits.shape == (2, 15 * 11, 2)
    assert all(name.startswith("heads.") for name in model.state_dict())
    alone = model.heads[1](ToyLpips().net(torch.zeros(1, 3, 32, 24))[1])
    assert torch.allclose(model(torch.zeros(1, 3, 32, 24))[..., 1].mean(), alone.mean(), atol=1e-2)


def test_both_count_half_each() -> None:
    features = FeatureDiscriminator(backbone_features(ToyLpips()), 4)
    patch = nn.Conv2d(3, 1, 4, 2)
    logits = BothDiscriminators(features, patch)(torch.rand(2, 3, 32, 24))
    assert logits.shape == (2, 15 * 11, 4)
    own, pixels = logits.chunk(2, dim=-1)
    assert own.shape == pixels.shape and torch.equal(pixels[..., 0], pixels[..., 1])


def test_it_learns_to_tell_and_has_a_gradient_for_pictures() -> None:
    model = FeatureDiscriminator(backbone_features(ToyLpips()), 16)
    chance = torch.Generator().manual_seed(1)
    real, fake = torch.rand(8, 3, 32, 32, generator=chance), torch.full((8, 3, 32, 32), 0.5)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    first = discriminator_loss(model(real), model(fake))
    for _ in range(30):
        optimizer.zero_grad()
        loss = discriminator_loss(model(real), model(fake))
        loss.backward()
        optimizer.step()
    assert loss < 0.7 * first
    picture = fake.requires_grad_()
    (pull,) = torch.autograd.grad(model(picture).mean(), picture)
    assert pull.abs().sum() > 0


@pytest.fixture
def codes_file(tmp_path: Path) -> str:
    chance = torch.Generator().manual_seed(2)
    rows, columns = TINY_VQGAN.grid_size
    codes = torch.randint(TINY_VQGAN.codes, (5, rows, columns), generator=chance)
    save_file({"codes": codes.int()}, tmp_path / "codes.safetensors")
    return str(tmp_path / "codes.safetensors")


@pytest.mark.parametrize("kind", ["features", "both"])
def test_a_decoder_is_trained_on_generated_codes_and_the_codes_stay(
    tmp_path: Path, codes_file: str, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(first_stage, "lpips_model", lambda net: ToyLpips())
    data = write_folder(tmp_path / "data", 12)
    start = tmp_path / "start"
    VQGAN(TINY_VQGAN).save_pretrained(start)
    settings = {
        "init_from": str(start), "freeze_encoder": True, "perceptual_net": "alex",
        "discriminator": kind, "discriminator_start": 0.0, "generated_codes": codes_file,
        "generated_pictures": 3, "max_train_steps": 6, "logging_steps": 1,
        "gradient_accumulation_steps": 2,
    }  # fmt: skip
    first_stage.main(tokenizer_config(data, tmp_path / "run", **settings))
    log = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert '"discriminator"' in log and '"adaptive_weight"' in log
    before, after = weights(start), weights(tmp_path / "run")
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"decoder", "post_quant_conv"}


def test_some_codes_of_a_step_are_always_the_same(codes_file: str) -> None:
    codes = GeneratedCodes(codes_file, VQGAN(TINY_VQGAN), 4)
    assert torch.equal(codes.some(3), codes.some(3))
    assert codes.some(3).shape == (4, *TINY_VQGAN.grid_size)
    parts = torch.cat([codes.some(3, part, 3) for part in range(3)])
    assert torch.equal(parts, codes.some(3))


def test_codes_that_are_not_this_tokenizers_are_refused(tmp_path: Path) -> None:
    model = VQGAN(TINY_VQGAN)
    file = tmp_path / "codes.safetensors"
    for codes, words in (
        (torch.zeros(2, 9, 9), r"on \(9, 9\) blocks"),
        (torch.full((2, *TINY_VQGAN.grid_size), TINY_VQGAN.codes), "the tokenizer has 0 to"),
        (torch.zeros(4), r"found one of shape \(4,\)"),
    ):
        save_file({"codes": codes.int()}, file)
        with pytest.raises(CheckpointError, match=words):
            GeneratedCodes(str(file), model, 1)
    file.write_bytes(b"no codes")
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        GeneratedCodes(str(file), model, 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"discriminator": "pixels"}, "'patch', 'features' or 'both'"),
        ({"discriminator": "features", "perceptual_net": "none"}, "perceptual-net"),
        ({"generated_codes": "codes.safetensors"}, "freeze-encoder"),
        (
            {"generated_codes": "c", "freeze_encoder": True, "discriminator_weight": 0.0},
            "its weight is 0",
        ),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        tokenizer_config(tmp_path, tmp_path, **changes)
