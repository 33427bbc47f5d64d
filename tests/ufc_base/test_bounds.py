"""What is refused before it costs: sizes, graphs and weights that are not what they should be."""

from __future__ import annotations

import io
import json
import pickle
import random
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import tiny_tokenizer
from hostile.archives import long_names
from hostile.pictures import ico_of, many_scans, png_of
from hostile.texts import parquet_bomb
from safetensors.torch import load_file, save_file

from ufc_base.checkpoint import CheckpointError
from ufc_base.data.names import DataError
from ufc_base.data.records import read_metadata
from ufc_base.data.samples import shard_members
from ufc_base.files import whole_file, write_text
from ufc_base.formats.archives import read_arrays
from ufc_base.formats.pickles import check_program, load_tensors
from ufc_base.formats.yaml_text import load_yaml
from ufc_base.images import ImageError, load_image
from ufc_base.training.checkpoints import Checkpoints, refuse_unsound
from ufc_base.training.metrics_log import MetricsLog
from vqgan.model import VQGAN


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_weights_that_are_not_finite_are_refused(folder: Path) -> None:
    file = folder / "model.safetensors"
    weights = load_file(file)
    weights["quant_conv.weight"][0] = torch.nan
    save_file(weights, file)
    with pytest.raises(CheckpointError, match=r"not finite \(\['quant_conv.weight'\]\)"):
        VQGAN.from_pretrained(folder)


def test_a_checkpoint_that_is_not_finite_is_not_resumed(tmp_path: Path) -> None:
    state = {"trainer": {"step": 2, "model": {"w": torch.tensor([1.0, torch.inf])}}, "seconds": 1.0}
    path = Checkpoints(tmp_path).save(2, state)
    loaded = Checkpoints(tmp_path).load("latest")
    assert loaded is not None
    with pytest.raises(CheckpointError, match=r"model\.w is not finite"):
        refuse_unsound(path, loaded)
    refuse_unsound(path, {"trainer": {"step": 2}, "seconds": 1.0})
    for wrong in ({"step": -1}, {"step": "2"}, {}, None):
        with pytest.raises(CheckpointError, match="no checkpoint of this kind"):
            refuse_unsound(path, {"trainer": wrong, "seconds": 1.0})


@pytest.mark.parametrize(
    "change",
    [{"ch": 10**6}, {"num_res_blocks": 10**9}, {"n_embed": 10**12}, {"embed_dim": "x"},
     {"dropout": float("nan")}],
)  # fmt: skip
def test_a_config_that_asks_for_terabytes_or_for_no_number_costs_nothing(
    folder: Path, change: dict
) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(CheckpointError, match=r"config\.json"):
        VQGAN.from_pretrained(folder)


@pytest.mark.parametrize(
    ("name", "words"), [("../evil.npy", "lead outside"), ("/a.npy", "lead"), ("mu.npy", "two")]
)
def test_arrays_whose_names_lead_elsewhere_are_refused(
    tmp_path: Path, name: str, words: str
) -> None:
    np.savez(tmp_path / "s.npz", mu=np.zeros(2))
    assert list(read_arrays(tmp_path / "s.npz")) == ["mu"]
    with zipfile.ZipFile(tmp_path / "s.npz", "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a name that is there twice
        archive.writestr(name, archive.read("mu.npy"))
    with pytest.raises(ValueError, match=words):
        read_arrays(tmp_path / "s.npz")


def test_shared_values_of_a_sound_checkpoint_are_read(tmp_path: Path) -> None:
    shared = torch.arange(6.0)
    state = {"a": shared, "b": [shared, shared[2:]], "n": (1, 2.5, None, "x", torch.float16)}
    torch.save(state, tmp_path / "x.pt")
    loaded = load_tensors(tmp_path / "x.pt")
    assert torch.equal(loaded["b"][1], shared[2:]) and loaded["n"] == state["n"]


def test_a_view_larger_than_what_is_stored_is_refused(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(1).expand(10**9)}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="w says that it is larger than what is stored"):
        load_tensors(tmp_path / "x.pt")


def test_a_graph_that_unfolds_without_end_is_refused() -> None:
    value: object = ()
    for _ in range(40):
        value = (value, value)
    with pytest.raises(ValueError, match="again and again"):
        check_program(pickle.dumps(value, 2))
    own: list[object] = []
    own.append(own)
    with pytest.raises(ValueError, match="holds itself"):
        check_program(pickle.dumps(own, 2))


@pytest.mark.parametrize(
    ("text", "why"),
    [("a: &x [1]\nb: *x\n", "aliases"), ("a: " + "[" * 99, "too deeply"),
     ("a: !!python/name:os x", "tag"), ("x" * 100_001, "more than the")],
)  # fmt: skip
def test_yaml_stands_for_no_more_than_it_says(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ValueError, match=why):
        load_yaml(tmp_path / "a.yaml")


def test_a_text_in_every_row_of_a_table_is_bounded(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "metadata.parquet"
    path.write_bytes(parquet_bomb(2_000_000, 1000))
    with pytest.raises(DataError, match="more than"):
        for _ in read_metadata(path):
            pass


def test_names_behind_names_are_a_damaged_shard(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(long_names(2000))
    with pytest.raises(DataError, match="not a readable"):
        shard_members(tmp_path / "a.tar")


def test_what_is_in_an_icon_is_no_larger_than_a_picture() -> None:
    with pytest.raises(ImageError, match="more than the 10,000"):
        load_image(ico_of(png_of(200, 100, 8, 6)), max_pixels=10_000)


def test_a_jpeg_goes_over_its_pixels_a_bounded_number_of_times() -> None:
    """125 kB took 11 s."""
    assert load_image(many_scans(random.Random(0), 50)).size in ((1000, 1000), (4000, 4000))
    with pytest.raises(ImageError, match=r"has 2,0\d\d scans, more than the 100 allowed"):
        load_image(many_scans(random.Random(0), 2000))


def test_a_log_goes_back_to_where_its_run_goes_on(tmp_path: Path) -> None:
    rows = [{"step": 2, "loss": 1.0}, {"step": 2, "val_loss": 2.0}, {"step": 4, "loss": 0.5}]
    text = "".join(json.dumps(row) + "\n" for row in rows) + '{"step": 6, "lo'
    log = MetricsLog(tmp_path)
    log.path.write_text(text)
    log.go_back(4, validated=True)
    assert [json.loads(line) for line in log.path.read_text().splitlines()] == rows
    log.go_back(2, validated=True)
    assert [json.loads(line) for line in log.path.read_text().splitlines()] == rows[:2]
    log.go_back(2, validated=False)
    assert [json.loads(line) for line in log.path.read_text().splitlines()] == rows[:1]


def test_a_file_is_there_wholly_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def broken() -> None:
        with whole_file(path) as partial:
            partial.write_text("half")
            raise io.UnsupportedOperation("the disk is full")

    with pytest.raises(io.UnsupportedOperation):
        broken()
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
