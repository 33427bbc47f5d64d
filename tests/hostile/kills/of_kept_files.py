"""What is computed once and kept: codes, statistics, weights."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from toy_extractor import tiny_extractor

from estimators.metrics.fid import Statistics, load_statistics, save_statistics
from estimators.metrics.sets.content import cached
from ufc.pipeline import UFCPipeline
from ufc.training.codes.cache import CodeCache
from ufc_base.data.datasets import Pixels, open_dataset
from vqgan.model import VQGAN

from .base import Job, Work, whole_files
from .models import Models, sound_model


def token_cache(models: Models, folder: Path) -> object:
    tokenizer = VQGAN.from_pretrained(models.tokenizer)
    pixels = Pixels(open_dataset(models.data), tokenizer.config.size)
    return CodeCache.build(
        tokenizer, pixels, folder / "codes.safetensors", augmentations=40, seed=1
    )


def codes(folder: Path) -> Any:
    with safe_open(folder / "codes.safetensors", framework="pt") as file:
        return file.metadata(), file.get_tensor("codes").numpy().tobytes()


def statistics(models: Models, folder: Path) -> object:
    """Features of a set and their statistics, as `python -m estimators.fid ref` keeps them."""
    extractor = tiny_extractor()
    samples = open_dataset(models.data)

    def features() -> Any:
        pixels = Pixels(samples, 16)
        with torch.no_grad():
            rows = [
                extractor.net(pixels.batch([n])).flatten(1).numpy() for n in range(len(samples))
            ]
        return np.concatenate(rows).repeat(400, 1).astype(np.float32)

    found = cached(folder, {"set": samples.content}, features)
    stats = Statistics(found.mean(0, dtype=np.float64), np.cov(found.T), len(found))
    return save_statistics(folder / "stats.npz", stats, "tiny")


def kept_statistics(folder: Path) -> Any:
    stats, about = load_statistics(folder / "stats.npz")
    features = {path.name: path.read_bytes() for path in sorted(folder.glob("features-*.npy"))}
    return stats.mean.tobytes(), stats.covariance.tobytes(), about, features


def save_weights(models: Models, folder: Path) -> object:
    """A model in place of another: split weights over whole ones, and back."""
    pipeline = UFCPipeline.from_pretrained(models.model)
    for _ in range(3):
        pipeline.save_pretrained(folder / "model")
        pipeline.save_pretrained(folder / "model", dtype=torch.float16)
    return pipeline.save_pretrained(folder / "model")


def saved_weights(folder: Path) -> Any:
    pipeline = UFCPipeline.from_pretrained(folder / "model")
    weights = {**pipeline.tokenizer.state_dict(), **pipeline.transformer.state_dict()}
    return {name: value.numpy().tobytes() for name, value in weights.items()}


def check_weights(folder: Path) -> None:
    """A folder half way between two models is a model, or says what it is not."""
    whole_files(folder)
    if (folder / "model").is_dir():
        sound_model(folder / "model")


def jobs(models: Models) -> dict[str, Job]:
    return {
        "token cache": Work(partial(token_cache, models), codes, whole_files),
        "statistics": Work(partial(statistics, models), kept_statistics, whole_files),
        "weights": Work(partial(save_weights, models), saved_weights, check_weights),
    }
