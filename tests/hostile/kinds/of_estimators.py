"""Models beside the generator's: contrastive, contradiction, upscaler."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from toy_contrastive import tiny_model
from toy_upscaler import toy_upscaler

from estimators.contradiction.model import ContradictionConfig, ContradictionModel
from estimators.contradiction.verdicts import contradiction
from ufc.captioning.contradictions import load_judge
from ufc.conditioning.text import TextTokenizer
from ufc.contrastive_scorer import ContrastiveEstimator
from vqgan.upscaling.model import Upscaler

from .. import weights
from ..mutation import odd_json
from .base import Kind, Rng
from .of_models import header_of

ODD_SIZES: tuple[Any, ...] = (
    0, -1, 1, 3, 5, 2**20, 2**40, 10**6, 10**400, [2] * 40, [10**9], [], 0.5, float("nan"), "8",
    True, None, {}, ["a", "a"], [[]],
)  # fmt: skip


@cache
def models() -> Path:
    """Sound ones, made once."""
    folder = Path(tempfile.mkdtemp(prefix="hostile-estimators-"))
    text = TextTokenizer.train(["red bag", "blue shirt", "红色包"] * 4, 300)
    ContrastiveEstimator(tiny_model(text.size), text).save_pretrained(folder / "contrastive")
    sizes = ContradictionConfig(
        vocabulary=("bag", "red"), buckets=16, embedding=4, channels=4, hidden=4
    )
    ContradictionModel(sizes).save_pretrained(folder / "contradiction")
    toy_upscaler().save_pretrained(folder / "upscaler")
    return folder


def write_estimator(name: str) -> Callable[[Rng, Path], object]:
    def write(rng: Rng, folder: Path) -> None:
        shutil.copytree(models() / name, folder / name)
        if rng.random() < 0.3:
            file = folder / name / "model.safetensors"
            file.write_bytes(weights.safetensors_of(rng, file.read_bytes()))
        else:
            file = folder / name / "config.json"
            file.write_bytes(odd_config(rng, json.loads(file.read_bytes())))
        (folder / "which").write_text(file.relative_to(folder).as_posix())

    return write


def odd_config(rng: Rng, config: dict[str, Any]) -> bytes:
    """Sizes that no model has, among them those of the encoder inside; or odd JSON."""
    if rng.random() < 0.4:
        return odd_json(rng, config)
    inner = config.get("encoder") if rng.random() < 0.4 else None
    place = inner if isinstance(inner, dict) else config
    place[rng.choice(list(place))] = rng.choice(ODD_SIZES)
    return json.dumps(config).encode()


def says(folder: Path) -> object:
    file = folder / (folder / "which").read_text()
    return json.loads(file.read_bytes().decode()) if file.suffix == ".json" else header_of(file)


def use_contrastive(folder: Path) -> None:
    model = ContrastiveEstimator.from_pretrained(folder / "contrastive")
    model.embed_images([Image.new("RGB", (16, 16))])
    model.embed_texts(["red bag"])


def use_contradiction(folder: Path) -> object:
    return contradiction("a red bag", "blue shirt", load_judge(str(folder / "contradiction")))


def use_upscaler(folder: Path) -> object:
    return Upscaler.from_pretrained(folder / "upscaler").enlarge(torch.zeros(1, 3, 6, 5))


KINDS = {
    "contrastive": Kind(
        600, write_estimator("contrastive"), says, {"from_pretrained": use_contrastive}
    ),
    "contradiction": Kind(
        600, write_estimator("contradiction"), says, {"from_pretrained": use_contradiction}
    ),
    "upscaler": Kind(600, write_estimator("upscaler"), says, {"from_pretrained": use_upscaler}),
}
