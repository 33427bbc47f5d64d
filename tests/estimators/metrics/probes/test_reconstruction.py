"""The judgement of a tokenizer: what is seen in its reconstructions, beside the real pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import tiny_tokenizer
from torch import Tensor
from toy_data import write_folder
from toy_extractor import tiny_extractor

import ufc.cli.main as cli
from estimators.metrics.extractors.measuring import Measuring
from estimators.metrics.probes.reconstruction import tokenizer_report, tokenizer_table
from estimators.metrics.sets.picture_set import open_set
from ufc.pipeline import UFCPipeline
from vqgan.model import VQGAN

EXTRACTOR = "toy_extractor:tiny_extractor"


def distance(x: Tensor, y: Tensor) -> Tensor:
    return (x - y).abs().flatten(1).mean(1)


class Faithful(VQGAN):
    """A tokenizer whose reconstructions are the pictures themselves."""

    def __init__(self) -> None:
        super().__init__(tiny_tokenizer().config)

    def encode(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        self.seen = x_BCHW
        return torch.zeros(len(x_BCHW), 4, 4, dtype=torch.long)

    def decode(self, codes_BHW: torch.Tensor) -> torch.Tensor:
        return self.seen


def report(tokenizer: VQGAN, folder: Path, cache: Path | None, said: list[str]) -> dict:
    measuring = Measuring(tiny_extractor(), cache_dir=cache and str(cache))
    held_out, training = open_set(folder, 6), open_set(folder)
    return tokenizer_report(tokenizer, held_out, training, [measuring], distance, said.append)


def test_a_perfect_tokenizer_reaches_the_real_pictures(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data", 12)
    found = report(Faithful().eval(), data, None, [])
    (judge,) = found["judges"]
    assert found["size"] == [16, 16]
    assert found["training_pictures"] == 12
    assert found["reconstruction"]["pictures"] == 6
    assert found["reconstruction"]["lpips"] == 0
    # The extractor sees 16 px, the tokenizer shrinks to the same: all is equal but for rounding.
    assert judge["share"] == {"type": 1, "colour": 1}  # no record has a gender
    assert judge["fd_over_real"] == pytest.approx(1, abs=0.05)
    assert tiny_extractor().about in judge["recipe"]


def test_a_poor_tokenizer_loses_and_real_features_are_kept(tmp_path: Path) -> None:
    data, said = write_folder(tmp_path / "data", 12), []
    first = report(tiny_tokenizer(), data, tmp_path / "cache", said)
    (judge,) = first["judges"]
    assert judge["real"]["colour"] == 1
    assert judge["reconstructed"]["colour"] < 1
    assert judge["fd_over_real"] > 2
    again = report(tiny_tokenizer(), data, tmp_path / "cache", said)
    np.testing.assert_equal(again, first)
    assert sum("training pictures" in line for line in said) == 1
    lines = tokenizer_table(first).splitlines()
    assert lines[0].startswith("6 pictures, reconstructed at 16 x 16 px: PSNR")
    assert [line.split()[0] for line in lines[4:]] == ["type", "colour", "FD"]


def test_from_the_command_line(
    tmp_path: Path,
    pipeline: UFCPipeline,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_folder(tmp_path / "data", 8)
    pipeline.save_pretrained(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vqgan.perceptual.lpips_model", lambda net: Perceptual())
    data = ["--real", "data", "--train-data-dir", "data", "--no-cache", "--output-dir", "out"]
    judges = ["--extractor", EXTRACTOR, "--extractor", EXTRACTOR]
    figures = []
    for name in ("model", "model/tokenizer"):
        assert cli.main(["evaluate", "tokenizer", name, *data, *judges, "--json"]) == 0
        figures.append(json.loads(capsys.readouterr().out))
        assert figures[-1].pop("tokenizer") == "model/tokenizer"
    assert figures[0] == figures[1]
    assert [judge["extractor"] for judge in figures[0]["judges"]] == ["tiny", "tiny"]
    assert (tmp_path / "out" / "tokenizer.json").is_file()
    for arguments, words in (
        (["model"], "give held-out pictures by --real"),
        (["data", *data], "neither a tokenizer"),
        (["model", *data, "--extractor", "resnet"], "unknown extractor 'resnet'"),
    ):
        assert cli.main(["evaluate", "tokenizer", *arguments]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert words in line


class Perceptual(torch.nn.Module):
    """A distance without weights in place of LPIPS."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return distance(x, y)
