"""Packed convolutions give an ordinary one's numbers, follow their weights, and leave training."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vqgan import packed_convolution
from vqgan.model import VQGAN, VQGANConfig
from vqgan.packed_convolution import Conv2d

needs_operators = pytest.mark.skipif(
    not packed_convolution.has_operators(),
    reason="this torch has no oneDNN operators for packed weights",
)

FORMS = (torch.channels_last, torch.contiguous_format)


def pair(**settings: Any) -> tuple[Conv2d, nn.Conv2d]:
    torch.manual_seed(0)
    conv, plain = Conv2d(16, 24, 3, **settings), nn.Conv2d(16, 24, 3, **settings)
    plain.load_state_dict(conv.state_dict())
    return conv, plain


def maps(batch: int = 1, side: int = 8, channels: int = 16) -> Tensor:
    x = torch.randn(batch, channels, side, side)
    return x.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("settings", [{"padding": 1}, {"stride": 2}])
@pytest.mark.parametrize(("batch", "side"), [(1, 8), (3, 8), (1, 13)])
@torch.no_grad()
def test_same_numbers_as_an_ordinary_convolution(
    settings: dict[str, Any], batch: int, side: int
) -> None:
    conv, plain = pair(**settings)
    for x in (maps(batch, side), maps(2, side)):  # packed for one shape, used for another
        torch.testing.assert_close(conv(x), plain(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("x_form", FORMS)
@pytest.mark.parametrize("below_form", FORMS)
@torch.no_grad()
def test_adds_to_what_it_is_given(
    x_form: torch.memory_format, below_form: torch.memory_format
) -> None:
    conv, plain = pair(padding=1)
    x = maps().contiguous(memory_format=x_form)
    below = maps(channels=24).contiguous(memory_format=below_form)
    wanted = below + plain(x)
    made = conv(x, onto=below)
    torch.testing.assert_close(made, wanted, rtol=1e-5, atol=1e-6)
    assert made.data_ptr() == below.data_ptr()


def test_with_a_gradient_nothing_is_packed_or_overwritten() -> None:
    conv, plain = pair(padding=1)
    x, below = maps(), maps(channels=24)
    before = below.clone()
    made = conv(x, onto=below)
    assert torch.equal(below, before)
    assert not conv.derived.kept
    made.square().sum().backward()
    (before + plain(x)).square().sum().backward()
    assert conv.weight.grad is not None and plain.weight.grad is not None
    torch.testing.assert_close(conv.weight.grad, plain.weight.grad)


@needs_operators
@torch.no_grad()
def test_packed_once_and_again_when_the_weight_changes() -> None:
    conv, plain = pair(padding=1)
    x = maps()
    conv(x)
    first = conv.derived.kept["packed"]
    conv(x)
    assert conv.derived.kept["packed"] is first
    for module in (conv, plain):
        module.weight.mul_(2)
    torch.testing.assert_close(conv(x), plain(x), rtol=1e-5, atol=1e-6)
    assert conv.derived.kept["packed"] is not first


@torch.no_grad()
def test_runs_without_the_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_convolution, "has_operators", lambda: False)
    conv, plain = pair(padding=1)
    x, below = maps(), maps(channels=24)
    wanted = below + plain(x)
    torch.testing.assert_close(conv(x), plain(x))
    torch.testing.assert_close(conv(x, onto=below), wanted)
    assert not conv.derived.kept


def test_weights_made_in_inference_mode() -> None:
    with torch.inference_mode():
        conv, plain = pair(padding=1)
        x = maps()
        torch.testing.assert_close(conv(x), plain(x))


@torch.no_grad()
def test_other_numbers_than_float32() -> None:
    conv, plain = pair(padding=1)
    x = maps().double()
    torch.testing.assert_close(conv.double()(x), plain.double()(x))


@torch.no_grad()
def test_a_used_tokenizer_can_be_copied_pickled_and_saved() -> None:
    model = VQGAN(
        VQGANConfig(resolution=16, ch=8, ch_mult=(1, 2), z_channels=8, embed_dim=4, n_embed=16,
                    num_res_blocks=1, attn_resolutions=(), norm_groups=4)
    ).eval()  # fmt: skip
    names = set(model.state_dict())
    x = torch.rand(1, 3, 16, 16) * 2 - 1
    wanted = model.features(x)
    assert set(model.state_dict()) == names
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert not twin.encoder.conv_in.derived.kept
        torch.testing.assert_close(twin.features(x), wanted)


def test_the_tokenizer_is_the_same_with_and_without_a_gradient() -> None:
    torch.manual_seed(0)
    model = VQGAN(
        VQGANConfig(resolution=32, ch=32, ch_mult=(1, 2), z_channels=32, embed_dim=8, n_embed=16,
                    num_res_blocks=2, attn_resolutions=(16,))
    ).eval()  # fmt: skip
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    z = model.features(x).detach()
    image = model.decode_vectors(z).detach()
    kept = x.clone(), z.clone()
    with torch.no_grad():
        torch.testing.assert_close(model.features(x), z, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(model.decode_vectors(z), image, rtol=1e-5, atol=1e-5)
    assert torch.equal(x, kept[0]) and torch.equal(z, kept[1])
