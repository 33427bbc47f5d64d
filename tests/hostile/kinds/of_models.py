"""Models, checkpoints, codes: safetensors, their configs, and pickles."""

from __future__ import annotations

import json
import shutil
import struct
import tempfile
import zipfile
from functools import cache
from pathlib import Path

import torch
from conftest import TINY_VQGAN, make_pipeline, tiny_tokenizer
from PIL import Image
from safetensors.torch import save
from toy_training import tokenizer_config

from estimators.metrics.extractors.networks import read_tensors
from ufc.model.transformer import UFCTransformer
from ufc.pipeline import UFCPipeline
from ufc.training.codes.cache import kept_tensors
from ufc_base.training.checkpoints import Checkpoints, go_on, not_finite
from vqgan.convert import convert, read_pickle
from vqgan.model import VQGAN
from vqgan.training.generated_codes import GeneratedCodes
from vqgan.training.trainer import TokenizerTrainer

from .. import texts, weights
from ..mutation import odd_json
from .base import Kind, Rng, only


@cache
def models() -> Path:
    """Sound files of every kind, made once."""
    folder = Path(tempfile.mkdtemp(prefix="hostile-models-"))
    pipeline = make_pipeline()
    pipeline.save_pretrained(folder / "model")
    torch.save({"state_dict": tiny_tokenizer().state_dict()}, folder / "taming.ckpt")
    data = folder / "data"
    data.mkdir()
    Image.new("RGB", (16, 16)).save(data / "a.png")
    trainer = small_trainer()
    state = {"trainer": trainer.state_dict(), "skipped": 0, "seconds": 1.0, "data": {}}
    Checkpoints(folder).save(3, state)
    return folder


def small_trainer() -> TokenizerTrainer:
    config = tokenizer_config(
        Path("data"), Path("out"), mixed_precision="no", ch=4, codebook_start=1
    )
    return TokenizerTrainer(config)


def copied(source: str, folder: Path) -> Path:
    target = folder / Path(source).name
    shutil.copytree(models() / source, target)
    return target


def write_safetensors(rng: Rng, folder: Path) -> None:
    part = copied(rng.choice(("model/tokenizer", "model/transformer")), folder)
    file = part / "model.safetensors"
    if rng.random() < 0.1:
        index = {"weight_map": {"a": "model.safetensors"}}
        (part / "model.safetensors.index.json").write_bytes(odd_json(rng, index))
    if rng.random() < 0.1:
        file.write_bytes(weights.torch_file(rng, (models() / "taming.ckpt").read_bytes()))
    else:
        file.write_bytes(weights.safetensors_of(rng, file.read_bytes()))


def part_of(folder: Path) -> Path:
    return next(path for path in folder.iterdir() if path.is_dir())


def header_is_json(folder: Path) -> object:
    return header_of(part_of(folder) / "model.safetensors")


def header_of(file: Path) -> object:
    """What a safetensors file says of itself; raises where that is no JSON."""
    data = file.read_bytes()
    return json.loads(data[8 : 8 + struct.unpack_from("<Q", data)[0]])


def read_part(folder: Path) -> object:
    part = part_of(folder)
    kind = VQGAN if part.name == "tokenizer" else UFCTransformer
    return kind.from_pretrained(part)


def write_model(rng: Rng, folder: Path) -> None:
    model = copied("model", folder)
    names = (
        "model_index.json",
        "tokenizer.json",
        "tokenizer/config.json",
        "transformer/config.json",
    )
    path = model / rng.choice((*names, *names[2:]))
    value = json.loads(path.read_text(encoding="utf-8"))
    if path.name == "config.json" and rng.random() < 0.5:
        name = rng.choice(list(value))
        value[name] = rng.choice(
            (0, -1, 1, 3, 2**20, 2**40, 10**6, [2] * 40, [10**9], [], 0.5, "8", True)
        )
        path.write_text(json.dumps(value))
    else:
        path.write_bytes(odd_json(rng, value))
    (folder / "which").write_text(path.relative_to(folder).as_posix())


def which_is_json(folder: Path) -> object:
    path = folder / (folder / "which").read_text()
    return json.loads(path.read_bytes().decode())


def write_torch(rng: Rng, folder: Path) -> None:
    name = rng.choice(("taming.ckpt", "checkpoint-3/trainer.pt"))
    target = folder / "checkpoint-3"
    target.mkdir()
    data = (models() / name).read_bytes()
    (target / "trainer.pt").write_bytes(weights.torch_file(rng, data))
    (folder / "taming.yaml").write_text(texts.TAMING[0])


def torch_path(folder: Path) -> Path:
    return folder / "checkpoint-3" / "trainer.pt"


def has_pickle(folder: Path) -> object:
    return is_pickle_of(torch_path(folder))


def is_pickle_of(path: Path) -> object:
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        return archive.read(name)[0] == 0x80 or int("none")


def read_checkpoint(folder: Path) -> None:
    state = Checkpoints(folder).load(str(folder / "checkpoint-3"))
    if state and {"trainer", "seconds"} <= set(state):
        go_on(small_trainer(), state["trainer"])
        not_finite(state)


def read_taming(folder: Path) -> object:
    return convert(torch_path(folder), folder / "taming.yaml", folder / "out")


def write_codes(rng: Rng, folder: Path) -> None:
    grid = TINY_VQGAN.grid_size if rng.random() < 0.8 else (3, 5)
    most = TINY_VQGAN.codes if rng.random() < 0.8 else 2 * TINY_VQGAN.codes
    codes = torch.tensor([rng.randrange(most) for _ in range(2 * grid[0] * grid[1])])
    kind = rng.choice((torch.int32, torch.int16, torch.int64, torch.float32, torch.uint8))
    name = rng.choice(("codes", "codes", "codes", "code"))
    data = save({name: codes.view(2, *grid).to(kind)})
    (folder / "c.safetensors").write_bytes(weights.safetensors_of(rng, data))


def codes_header(folder: Path) -> object:
    return header_of(only(folder))


def read_codes(folder: Path) -> object:
    return GeneratedCodes(str(only(folder)), tiny_tokenizer(), 2).some(0)


KINDS = {
    "safetensors": Kind(
        1200, write_safetensors, header_is_json,
        {"from_pretrained": read_part,
         "codes": lambda f: kept_tensors(part_of(f) / "model.safetensors", "k", dict),
         "extractor": lambda f: read_tensors(part_of(f) / "model.safetensors")},
    ),
    "generated codes": Kind(400, write_codes, codes_header, {"GeneratedCodes": read_codes}),
    "model": Kind(
        800, write_model, which_is_json,
        {"from_pretrained": lambda f: UFCPipeline.from_pretrained(f / "model")},
    ),
    "checkpoint": Kind(
        1500, write_torch, has_pickle,
        {"resume": read_checkpoint, "convert": read_taming,
         "read_pickle": lambda f: read_pickle(torch_path(f)),
         "extractor": lambda f: read_tensors(torch_path(f))},
    ),
}  # fmt: skip
