"""The upscaler's network and its folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from toy_upscaler import toy_upscaler

from ufc_base.checkpoint import CheckpointError
from vqgan.upscaling.model import Upscaler, UpscalerConfig, bicubic


@pytest.mark.parametrize("size", [(16, 12), (7, 9), (1, 1)])
def test_any_size_comes_out_doubled_and_untrained_it_is_bicubic(size: tuple[int, int]) -> None:
    x = torch.rand(2, 3, *size) * 2 - 1
    fresh = Upscaler(UpscalerConfig(width=4, depth=1)).eval()
    assert torch.equal(fresh.enlarge(x), bicubic(x).clamp(-1, 1))
    made = toy_upscaler().enlarge(x)
    assert made.shape == (2, 3, 2 * size[0], 2 * size[1]) and made.abs().max() <= 1
    assert not torch.allclose(made, bicubic(x).clamp(-1, 1), atol=1e-2)


def test_packed_and_plain_convolutions_agree() -> None:
    model, x = toy_upscaler(), torch.rand(1, 3, 10, 14)
    with torch.no_grad():
        packed = model(x)
    torch.testing.assert_close(packed, model(x).detach(), atol=1e-5, rtol=1e-5)


def test_the_usual_sizes_are_within_three_megabytes_in_half_precision() -> None:
    with torch.device("meta"):
        model = Upscaler(UpscalerConfig())
    assert 2 * sum(p.numel() for p in model.parameters()) < 2.9e6


def test_a_folder_gives_the_same_back(tmp_path: Path) -> None:
    model, x = toy_upscaler(), torch.rand(1, 3, 6, 6)
    model.save_pretrained(tmp_path / "full")
    again = Upscaler.from_pretrained(tmp_path / "full")
    assert not again.training and torch.equal(again.enlarge(x), model.enlarge(x))
    model.save_pretrained(tmp_path / "half", torch.float16)
    half = Upscaler.from_pretrained(tmp_path / "half").enlarge(x)
    torch.testing.assert_close(half, model.enlarge(x), atol=5e-3, rtol=0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"width": 0}, "width: got 0, wanted a whole number, 1 to 1024"),
        ({"depth": 10**9}, "depth: got"),
        ({"fold": "2"}, "fold: got '2'"),
        ({"colours": 3}, "unknown keys"),
        ({"width": 5}, "do not fit"),
    ],
)
def test_a_damaged_folder_is_refused(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    toy_upscaler().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(CheckpointError, match=said):
        Upscaler.from_pretrained(tmp_path)
