"""Taming checkpoints to model folders, and pickles that would like to run something."""

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from ufc_base.checkpoint import CheckpointError
from vqgan.convert import convert, main, read_pickle, read_taming_config
from vqgan.model import VQGAN, VQGANConfig

DDCONFIG = {
    "double_z": False,
    "z_channels": 8,
    "resolution": 16,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 32,
    "ch_mult": [1, 2],
    "num_res_blocks": 1,
    "attn_resolutions": [8],
    "dropout": 0.0,
}


class ModelCheckpoint:
    """Plays a callback class of Lightning's, which is not there when the file is read."""

    def __init__(self) -> None:
        self.best_model_score = np.float64(0.5)
        self.kinds = {int, str}


class AttributeDict(dict[str, Any]):
    """Plays Lightning's container of hyper-parameters."""


class Touch:
    """Unpickling it the ordinary way makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.path), "w"))


def write_yaml(folder: Path, **changes: Any) -> Path:
    settings = {**DDCONFIG, **changes}
    params = {"embed_dim": 8, "n_embed": 16, "ddconfig": settings, "lossconfig": {"target": "x.Y"}}
    path = folder / "model.yaml"
    path.write_text(yaml.safe_dump({"model": {"target": "taming.VQModel", "params": params}}))
    return path


def make_state(config: VQGANConfig) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return VQGAN(config).state_dict()


def lightning_checkpoint(state: dict[str, Tensor], **extra: Any) -> dict[str, Any]:
    return {
        "epoch": 3,
        "global_step": np.int64(7),
        "pytorch-lightning_version": "1.0.8",
        "callbacks": {ModelCheckpoint: {"best_model_score": torch.tensor(0.5), "dirpath": "x"}},
        "hyper_parameters": AttributeDict(lr=1e-4),
        "optimizer_states": [{"state": {}, "param_groups": [{"lr": 1e-4}]}],
        "state_dict": {**state, "loss.perceptual_loss.lin0": torch.ones(2)},
        "saved_callback": ModelCheckpoint(),
        **extra,
    }


@pytest.fixture
def state(tmp_path: Path) -> dict[str, Tensor]:
    return make_state(read_taming_config(write_yaml(tmp_path)))


def test_a_lightning_checkpoint_becomes_a_model_folder(
    tmp_path: Path, state: dict[str, Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(lightning_checkpoint(state), tmp_path / "last.ckpt")
    folder = tmp_path / "model"
    arguments = [str(tmp_path / "last.ckpt"), "--config", str(tmp_path / "model.yaml")]
    assert main([*arguments, "-o", str(folder)]) == 0
    assert "ModelCheckpoint" in capsys.readouterr().out
    model = VQGAN.from_pretrained(folder)
    assert model.config.ch_mult == (1, 2)
    assert model.config.n_embed == 16
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_views_parameters_and_half_precision_are_read(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    shared = torch.arange(12.0).reshape(3, 4)
    values = {
        "whole": shared,
        "turned": shared.t(),
        "slice": shared[1:, 1:3],
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "half": torch.ones(3, dtype=torch.float16),
        "integer": torch.tensor([1, -2]),
        "empty": torch.empty(0),
        "scalar": torch.tensor(2.5),
    }
    torch.save(values, tmp_path / "plain.pt")
    contents = read_pickle(tmp_path / "plain.pt").contents
    for name, value in values.items():
        assert contents[name].dtype == value.dtype
        assert torch.equal(contents[name], value.detach()), name


def test_what_a_pickle_wants_to_run_is_not_run(tmp_path: Path, state: dict[str, Tensor]) -> None:
    trap = tmp_path / "trap"
    torch.save(lightning_checkpoint(state, attack=Touch(trap)), tmp_path / "bad.ckpt")
    inert = convert(tmp_path / "bad.ckpt", tmp_path / "model.yaml", tmp_path / "model").inert
    assert any(name.endswith(".open") for name in inert)
    assert not trap.exists()
    with (tmp_path / "proof.pkl").open("wb") as stream:
        pickle.dump(Touch(trap), stream)
    with (tmp_path / "proof.pkl").open("rb") as stream:
        pickle.load(stream).close()
    assert trap.exists(), "the trap itself does not work"


def test_an_attack_in_place_of_a_weight_is_refused(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    trap = tmp_path / "trap"
    state["encoder.conv_in.weight"] = Touch(trap)  # type: ignore[assignment]
    torch.save({"state_dict": state}, tmp_path / "bad.ckpt")
    with pytest.raises(CheckpointError, match=r"no tensors: \['encoder.conv_in.weight'\]"):
        convert(tmp_path / "bad.ckpt", tmp_path / "model.yaml", tmp_path / "model")
    assert not trap.exists()


def rewrite_pickle(path: Path, data: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", data)


@pytest.mark.parametrize(
    "program",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"cbuiltins\neval\n(S'1/0'\ntR.",
        b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x031/0\x85R.",
        b"(S'true'\nios\nsystem\n.",
        b"ctorch._utils\n_rebuild_tensor_v2\n}S'__code__'\nNs\x86b.",
        b"ccollections\nOrderedDict\nN}S'get'\nNs\x86b.",
    ],
)
def test_hand_written_pickles_do_nothing(tmp_path: Path, program: bytes) -> None:
    system, rebuild = os.system, torch._utils._rebuild_tensor_v2.__code__
    rewrite_pickle(tmp_path / "x.ckpt", program)
    try:
        contents = read_pickle(tmp_path / "x.ckpt").contents
    except CheckpointError:
        contents = None
    assert os.system is system
    assert torch._utils._rebuild_tensor_v2.__code__ is rebuild
    assert not isinstance(contents, int)


def test_missing_and_unexpected_keys_are_listed(tmp_path: Path, state: dict[str, Tensor]) -> None:
    state["extra.weight"] = state.pop("post_quant_conv.bias")
    torch.save({"state_dict": state}, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError) as caught:
        convert(tmp_path / "x.ckpt", tmp_path / "model.yaml", tmp_path / "model")
    assert "post_quant_conv.bias" in str(caught.value)
    assert "extra.weight" in str(caught.value)
    assert not (tmp_path / "model").exists()


def truncated(data: bytes) -> bytes:
    return data[: len(data) // 2]


def old_format(_: bytes) -> bytes:
    stream = io.BytesIO()
    torch.save({"x": torch.ones(1)}, stream, _use_new_zipfile_serialization=False)
    return stream.getvalue()


@pytest.mark.parametrize("damage", [truncated, old_format, lambda _: b"", lambda _: b"hello"])
def test_files_that_cannot_be_read_say_so(
    tmp_path: Path, state: dict[str, Tensor], damage: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.ckpt"
    torch.save({"state_dict": state}, path)
    path.write_bytes(damage(path.read_bytes()))
    arguments = [str(path), "--config", str(tmp_path / "model.yaml")]
    assert main([*arguments, "-o", str(tmp_path / "model")]) == 2
    assert "truncated, or not of torch 1.6" in capsys.readouterr().err


def test_a_storage_shorter_than_its_tensor_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {"x": torch.ones(4)}}, tmp_path / "x.ckpt")
    with zipfile.ZipFile(tmp_path / "x.ckpt") as old, zipfile.ZipFile(tmp_path / "y", "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, data[:8] if name.endswith("data/0") else data)
    with pytest.raises(CheckpointError, match="has 8 bytes, wanted 16"):
        read_pickle(tmp_path / "y")


def test_a_folder_that_holds_a_model_is_not_overwritten(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    torch.save({"state_dict": state}, tmp_path / "x.ckpt")
    convert(tmp_path / "x.ckpt", tmp_path / "model.yaml", tmp_path / "model")
    with pytest.raises(FileExistsError, match="already holds a model"):
        convert(tmp_path / "x.ckpt", tmp_path / "model.yaml", tmp_path / "model")


def test_a_gumbel_model_is_named_as_such(tmp_path: Path, state: dict[str, Tensor]) -> None:
    state["quantize.embed.weight"] = state.pop("quantize.embedding.weight")
    torch.save({"state_dict": state}, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError, match="Gumbel"):
        convert(tmp_path / "x.ckpt", tmp_path / "model.yaml", tmp_path / "model")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attn_type": "linear"}, "only attn_type: vanilla"),
        ({"colour": 3}, r"not supported: \['colour'\]"),
        ({"resolution": 15}, "not a multiple"),
    ],
)
def test_settings_without_a_counterpart_are_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_taming_config(write_yaml(tmp_path, **changes))


@pytest.mark.parametrize("text", ["model: {params: {}}", "- 1", "a: [", ""])
def test_yaml_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.yaml"
    path.write_text(text)
    with pytest.raises(CheckpointError, match=r"other\.yaml"):
        read_taming_config(path)
