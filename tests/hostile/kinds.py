"""The kinds of hostile inputs: how many, how each is made, which parsers read it.

An input is a folder. `past` says whether it got past the header: whether another program that
knows the format would take the file for one of its kind and begin to read what is inside.
"""

from __future__ import annotations

import csv
import io
import json
import os
import random
import shutil
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import yaml
from conftest import make_pipeline, tiny_tokenizer
from PIL import Image
from toy_training import tokenizer_config

from estimators.metrics.extractors.networks import read_tensors
from estimators.metrics.fid import load_statistics
from estimators.metrics.probes.attributes import load_judge
from estimators.metrics.sets.content import cached
from estimators.metrics.sets.picture_set import open_set
from ufc.cli.training import read_recipe
from ufc.evaluation.generated_sets import kept_set, load_set
from ufc.io.manifest import read_folder, read_manifest
from ufc.io.png.metadata import read_metadata
from ufc.io.png.picture_row import read_picture_row
from ufc.io.prompts_file import read_rows
from ufc.model.transformer import UFCTransformer
from ufc.pipeline import UFCPipeline
from ufc.tasks.describe import describe
from ufc.tasks.families import make_plan
from ufc.tasks.grammar import parse
from ufc.tasks.mixture import find_instruction, read_mixture
from ufc.training.codes.cache import kept_tensors
from ufc.training.config import TrainConfig
from ufc.training.lexicon.words import load_lexicon
from ufc_base.data.datasets import Reading, open_dataset
from ufc_base.data.streams import decode, first_records, shard_samples
from ufc_base.images import load_image, load_mask
from ufc_base.training.checkpoints import Checkpoints, go_on, not_finite
from vqgan.convert import convert, read_pickle
from vqgan.model import VQGAN
from vqgan.training.config import TokenizerTrainConfig
from vqgan.training.trainer import TokenizerTrainer
from webui.sessions.state import Settings, from_request
from webui.sessions.store import SessionStore

from . import archives, pictures, texts, weights
from .mutation import odd_json, spoilt

Rng = random.Random
Read = Callable[[Path], object]
KEY = "0123456789abcdef01234567"
ALL = Reading(max_unreadable=1.0, keep=False)


@dataclass(frozen=True)
class Kind:
    """`count` of them are in a whole run; `read` are the parsers by name."""

    count: int
    make: Callable[[Rng, Path], object]
    past: Callable[[Path], object]
    read: Mapping[str, Read]


def only(folder: Path) -> Path:
    """The file of an input that has one; paths of parsers' own are made beside it."""
    return next(path for path in sorted(folder.iterdir()) if path.is_file())


def write(name: str, make: Callable[[Rng], bytes]) -> Callable[[Rng, Path], object]:
    return lambda rng, folder: (folder / name).write_bytes(make(rng))


# Pictures


def opens(folder: Path) -> object:
    return Image.open(only(folder)).size


def says(folder: Path) -> object:
    info = Image.open(only(folder)).info
    return (
        info["exif"]
        if "exif" in info
        else info["ufc_metadata" if "ufc_metadata" in info else "ufc_blocks"]
    )


def write_metadata(rng: Rng, folder: Path) -> None:
    suffix, data = pictures.own_metadata(rng)
    (folder / f"a.{suffix}").write_bytes(data)


def editor_settings(folder: Path) -> object:
    said = read_metadata(only(folder)).request or {}
    asked = said.get("request")
    return from_request(Settings(), asked) if isinstance(asked, dict) else None


# Data sets


def write_folder(rng: Rng, folder: Path) -> None:
    (folder / "a.png").write_bytes(pictures.sound("PNG", "RGB", True))
    (folder / "b.png").write_bytes(pictures.picture(rng))
    name, make = rng.choice(
        (("metadata.jsonl", texts.metadata_lines), ("metadata.jsonl", texts.metadata_lines),
         ("metadata.csv", texts.metadata_csv), ("metadata.parquet", texts.metadata_parquet),
         ("a.json", lambda rng: odd_json(rng, archives.RECORD)),
         ("a.txt", lambda rng: spoilt(rng, "a bag 包".encode())))
    )  # fmt: skip
    (folder / name).write_bytes(make(rng))


def told_something(folder: Path) -> object:
    table = next(path for path in sorted(folder.iterdir()) if path.name not in ("a.png", "b.png"))
    data = table.read_bytes()
    if table.suffix == ".parquet":
        return data[:4] + data[-4:] == b"PAR1PAR1" or int("no parquet")
    text = data.decode()
    return (
        next(csv.reader(io.StringIO(text)))
        if table.suffix == ".csv"
        else json.loads(text.split("\n")[0])
    )


def read_all(folder: Path, source: Path) -> None:
    found = open_dataset(source, ALL)
    for index in range(len(found)):
        found.record(index)
        found[index]


def read_stream(folder: Path) -> None:
    url = str(only(folder))
    first_records([url], 20, ALL)
    for raw in islice(shard_samples(url, ALL), 20):
        from ufc_base.arrays import ImageError
        from ufc_base.data.names import DataError

        try:
            decode(raw, 16, "pad", ALL)
        except (ImageError, DataError):
            continue


def has_member(folder: Path) -> object:
    with tarfile.open(only(folder)) as archive:
        return archive.next() is not None or int("none")


# Texts


def is_json(folder: Path) -> object:
    return json.loads(only(folder).read_bytes().decode("utf-8-sig").strip().split("\n")[0])


def write_prompts(rng: Rng, folder: Path) -> None:
    if rng.random() < 0.6:
        (folder / "p.jsonl").write_bytes(texts.lines(rng, texts.PROMPT, ("prompt",)))
    else:
        (folder / "p.txt").write_bytes(texts.prompt_lines(rng))


def is_prompts(folder: Path) -> object:
    return (
        is_json(folder) if only(folder).suffix == ".jsonl" else only(folder).read_bytes().decode()
    )


def write_manifest(rng: Rng, folder: Path) -> None:
    (folder / "manifest.jsonl").write_bytes(texts.manifest(rng))
    (folder / "z.png").write_bytes(pictures.sound("PNG", "RGB", True))


def read_set(folder: Path) -> None:
    open_set(folder, reading=ALL).captions("text")


def is_yaml(folder: Path) -> object:
    text = only(folder).read_text(encoding="utf-8")
    return next(token for token in yaml.scan(text[:2000]) if isinstance(token, yaml.KeyToken))


def instructed(folder: Path) -> str:
    return only(folder).read_bytes().decode("utf-8", "surrogatepass")


def write_instruction(rng: Rng, folder: Path) -> None:
    text = texts.instruction(rng)
    (folder / "i.txt").write_bytes(text.encode("utf-8", "surrogatepass"))


def has_arrow(folder: Path) -> object:
    text = instructed(folder)
    return (text.count("->") == 1 and "[" in text) or int("none")


# Models


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
    data = (part_of(folder) / "model.safetensors").read_bytes()
    length = struct.unpack_from("<Q", data)[0]
    return json.loads(data[8 : 8 + length])


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


# Arrays


def judge_arrays() -> dict[str, object]:
    return {
        "about": np.array("tiny"), "size": np.array(16), "attributes": np.array(["colour"]),
        "mean": np.zeros(4), "scale": np.ones(4), "references": np.array(["16"]),
        "classes/colour": np.array(["red", "blue"]), "weight/colour": np.zeros((2, 4)),
        "bias/colour": np.zeros(2), "mu/16": np.zeros(4), "sigma/16": np.eye(4),
        "count/16": np.array(9),
    }  # fmt: skip


def set_arrays() -> dict[str, object]:
    about = {"passes": 3, "seconds": 1.0, "steps": [1, 1], "recipe": {}}
    return {
        "codes": np.zeros((2, 16), np.int64),
        "compliance": np.zeros(2),
        "about": np.array(json.dumps(about)),
    }


@cache
def pickled_statistics() -> bytes:
    """As torch-fidelity writes them."""
    stream = io.BytesIO()
    torch.save({"mu": np.zeros(4), "sigma": np.eye(4)}, stream)
    return stream.getvalue()


def has_arrays(folder: Path) -> object:
    with zipfile.ZipFile(only(folder)) as archive, archive.open(archive.namelist()[0]) as stream:
        np.lib.format.read_magic(stream)
        return np.lib.format.read_array_header_1_0(stream)


def again(folder: Path) -> object:
    """What is kept and damaged is computed anew."""
    from ufc.evaluation.generated_sets import GeneratedSet

    made = GeneratedSet(torch.zeros(2, 16), {}, 1, 1.0, [1, 1], {})
    path = only(folder)
    key = {"a": 1}
    import hashlib

    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]
    shutil.copy(path, folder / f"generated-{digest}.npz")
    kept_set(folder, key, lambda: made)
    shutil.copy(path, folder / f"features-{digest}.npy")
    return cached(folder, key, lambda: np.zeros((1, 2), np.float32))


# Sessions of the editor


def write_session(rng: Rng, folder: Path) -> None:
    place = folder / "sessions" / KEY
    (place / "pictures").mkdir(parents=True)
    (place / "session.json").write_bytes(odd_json(rng, texts.SESSION))
    (place / "pictures" / "0001.json").write_bytes(odd_json(rng, {"curves": [], "blocks": {}}))


def read_session(folder: Path) -> None:
    from webui.sessions.state import next_id, to_request

    store = SessionStore(folder)
    store.read_details(KEY, "0001")
    try:
        session = store.load(KEY)
    except KeyError:
        return
    next_id(session)
    session.find("0001")
    to_request(session, (4, 4))


def session_is_json(folder: Path) -> object:
    return json.loads((folder / "sessions" / KEY / "session.json").read_bytes().decode())


def yaml_kind(count: int, parts: tuple[str, ...], read: Mapping[str, Read]) -> Kind:
    return Kind(count, write("m.yaml", lambda rng: texts.yaml_text(rng, parts)), is_yaml, read)


PICTURE: dict[str, Read] = {
    "load_image": lambda f: load_image(only(f)),
    "load_mask": lambda f: load_mask(only(f)),
    "read_metadata": lambda f: read_metadata(only(f)),
}

KINDS: dict[str, Kind] = {
    "picture": Kind(5000, write("a.img", pictures.picture), opens, PICTURE),
    "bomb": Kind(40, write("a.img", pictures.bomb), opens, PICTURE),
    "metadata": Kind(
        2500, write_metadata, says,
        PICTURE | {
            "read_picture_row": lambda f: read_picture_row(only(f)), "editor": editor_settings,
        },
    ),
    "shard": Kind(
        1500, write("a.tar", archives.shard), has_member,
        {"index": lambda f: read_all(f, only(f)), "stream": read_stream},
    ),
    "packed shard": Kind(
        400, write("a.tar.gz", archives.packed_shard), has_member, {"stream": read_stream}
    ),
    "folder": Kind(1500, write_folder, told_something, {"folder": lambda f: read_all(f, f)}),
    "prompts": Kind(3000, write_prompts, is_prompts, {"read_rows": lambda f: read_rows(only(f))}),
    "manifest": Kind(
        1500, write_manifest, is_json,
        {"read_manifest": lambda f: read_manifest(f / "manifest.jsonl"), "read_folder": read_folder,
         "read_rows": lambda f: read_rows(f / "manifest.jsonl"), "open_set": read_set},
    ),
    "mixture": yaml_kind(700, texts.MIXTURE, {"read_mixture": lambda f: read_mixture(only(f))}),
    "recipe": yaml_kind(
        700, texts.RECIPE,
        {"train": lambda f: read_recipe(str(only(f)), TrainConfig),
         "train-tokenizer": lambda f: read_recipe(str(only(f)), TokenizerTrainConfig)},
    ),
    "lexicon": yaml_kind(500, texts.LEXICON, {"load_lexicon": lambda f: load_lexicon(only(f))}),
    "taming config": yaml_kind(400, texts.TAMING, {"convert": lambda f: convert(f / "x", only(f), f / "o")}),
    "instruction": Kind(
        2500, write_instruction, has_arrow,
        {"parse": lambda f: describe(make_plan(parse(instructed(f)))),
         "find": lambda f: find_instruction(instructed(f))},
    ),
    "safetensors": Kind(
        1200, write_safetensors, header_is_json,
        {"from_pretrained": read_part,
         "codes": lambda f: kept_tensors(part_of(f) / "model.safetensors", "k", dict),
         "extractor": lambda f: read_tensors(part_of(f) / "model.safetensors")},
    ),
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
    "statistics": Kind(
        700, write("s.npz", lambda rng: weights.arrays_file(rng, weights.statistics_arrays())),
        has_arrays, {"load_statistics": lambda f: load_statistics(only(f))},
    ),
    "torch-fidelity's": Kind(
        700, write("s.pt", lambda rng: weights.torch_file(rng, pickled_statistics())), lambda f: is_pickle_of(only(f)),
        {"load_statistics": lambda f: load_statistics(only(f))},
    ),
    "probes": Kind(
        400, write("j.npz", lambda rng: weights.arrays_file(rng, judge_arrays())), has_arrays,
        {"load_judge": lambda f: load_judge(only(f))},
    ),
    "generated set": Kind(
        400, write("g.npz", lambda rng: weights.arrays_file(rng, set_arrays())), has_arrays,
        {"load_set": lambda f: load_set(only(f)), "kept": again},
    ),
    "session": Kind(800, write_session, session_is_json, {"store": read_session}),
}  # fmt: skip


def rng_of(kind: str, seed: int) -> Rng:
    return random.Random(f"{kind}/{seed}")


def make(kind: str, seed: int, folder: Path) -> None:
    """Write the input of a kind and a number into an empty folder."""
    KINDS[kind].make(rng_of(kind, seed), folder)


def is_past(kind: str, folder: Path) -> bool:
    try:
        KINDS[kind].past(folder)
    except Exception:
        return False
    return True


os.environ.setdefault("UFC_DEBUG", "")
