"""Texts: prompts, manifests, YAML of every use, instructions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import yaml

from estimators.metrics.sets.picture_set import open_set
from ufc.cli.training import read_recipe
from ufc.evaluation.language.phrasings import groups, in_common, plain_record, read_phrasings
from ufc.io.manifest import read_folder, read_manifest
from ufc.io.prompts_file import read_rows
from ufc.tasks.describe import describe
from ufc.tasks.families import make_plan
from ufc.tasks.grammar import parse
from ufc.tasks.mixture import find_instruction, read_mixture
from ufc.training.config import TrainConfig
from ufc.training.lexicon.words import load_lexicon
from vqgan.convert import convert
from vqgan.training.config import TokenizerTrainConfig

from .. import pictures, texts
from .base import ALL, Kind, Read, Rng, only, write


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


def read_asked(folder: Path) -> None:
    """Phrasings, and the plain caption of each."""
    record = {"type": "Handbags", "text": "a red handbag", "text_zh": "红色手提包"}
    asked = read_phrasings(only(folder))
    for row in asked:
        in_common(row, plain_record(row, [record]))
    list(groups(asked))


def is_yaml(folder: Path) -> object:
    text = only(folder).read_text(encoding="utf-8")
    return next(token for token in yaml.scan(text[:2000]) if isinstance(token, yaml.KeyToken))


def instructed(folder: Path) -> str:
    data = only(folder).read_bytes()
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:  # a shell hands over what is no text in its own way
        return data.decode("utf-8", "surrogateescape")


def write_instruction(rng: Rng, folder: Path) -> None:
    text = texts.instruction(rng)
    (folder / "i.txt").write_bytes(text.encode("utf-8", "surrogatepass"))


def has_arrow(folder: Path) -> object:
    text = instructed(folder)
    return (text.count("->") == 1 and "[" in text) or int("none")


def yaml_kind(count: int, parts: tuple[str, ...], read: Mapping[str, Read]) -> Kind:
    return Kind(count, write("m.yaml", lambda rng: texts.yaml_text(rng, parts)), is_yaml, read)


KINDS = {
    "prompts": Kind(3000, write_prompts, is_prompts, {"read_rows": lambda f: read_rows(only(f))}),
    "manifest": Kind(
        1500, write_manifest, is_json,
        {"read_manifest": lambda f: read_manifest(f / "manifest.jsonl"), "read_folder": read_folder,
         "read_rows": lambda f: read_rows(f / "manifest.jsonl"), "open_set": read_set},
    ),
    "phrasings": Kind(
        600, write("p.jsonl", lambda rng: texts.lines(rng, texts.PHRASING, ("prompt", "type"))),
        is_json, {"read_phrasings": read_asked},
    ),
    "mixture": yaml_kind(700, texts.MIXTURE, {"read_mixture": lambda f: read_mixture(only(f))}),
    "recipe": yaml_kind(
        700, texts.RECIPE,
        {"train": lambda f: read_recipe(str(only(f)), TrainConfig),
         "train-tokenizer": lambda f: read_recipe(str(only(f)), TokenizerTrainConfig)},
    ),
    "lexicon": yaml_kind(500, texts.LEXICON, {"load_lexicon": lambda f: load_lexicon(only(f))}),
    "taming config": yaml_kind(
        400, texts.TAMING, {"convert": lambda f: convert(f / "x", only(f), f / "o")}
    ),
    "instruction": Kind(
        2500, write_instruction, has_arrow,
        {"parse": lambda f: describe(make_plan(parse(instructed(f)))),
         "find": lambda f: find_instruction(instructed(f))},
    ),
}  # fmt: skip
