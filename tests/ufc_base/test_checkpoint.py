"""Weights in several files: written, read back, and checked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from conftest import tiny_tokenizer

from ufc.io.hub import check_hashes, manifest
from ufc_base.checkpoint import CheckpointError, split_weights, weight_names
from vqgan.model import VQGAN


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """A tokenizer in half precision, in files of at most 20 kB."""
    folder = tmp_path / "models" / "tiny"
    tiny_tokenizer().save_pretrained(folder, torch.float16)
    names = split_weights(folder, "20KB")
    assert len(names) > 2 and all((folder / name).stat().st_size < 24_000 for name in names)
    assert {path.name for path in folder.glob("*.safetensors")} == set(names)
    return folder


def test_split_weights_are_the_same_weights(split: Path) -> None:
    whole = tiny_tokenizer().state_dict()
    for name, value in VQGAN.from_pretrained(split).state_dict().items():
        assert torch.equal(value, whole[name].half().float()), name


def test_every_file_has_its_hash(split: Path) -> None:
    root = split.parent
    (root / "manifest.json").write_text(json.dumps(manifest(root)))
    check_hashes(split)
    last = sorted(split.glob("*.safetensors"))[-1]
    last.write_bytes(last.read_bytes()[:-1] + b"\0")
    with pytest.raises(CheckpointError, match=last.name):
        check_hashes(split)


def test_a_missing_file_is_named(split: Path) -> None:
    sorted(split.glob("*.safetensors"))[0].unlink()
    with pytest.raises(CheckpointError, match=r"no weights at .*00001"):
        VQGAN.from_pretrained(split)


@pytest.mark.parametrize("index", [{}, {"weight_map": {"a": "../../secret.safetensors"}}])
def test_an_index_stays_in_its_folder(split: Path, index: object) -> None:
    (split / weight_names()[1]).write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"no weight_map|outside of its folder"):
        VQGAN.from_pretrained(split)
