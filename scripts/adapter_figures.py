"""What an adapter has taken up, and what it has kept: figures for a model with and without it.

    python scripts/adapter_figures.py MODEL ADAPTER --own PICTURES --caption "handbag by kestrel" \\
        --real HELD-OUT [--pictures 64]

A linear probe learns to tell the own pictures, as the tokenizer gives them back, from those that
the model makes without the adapter. `auc` says how well its score tells pictures of the own caption
with the adapter from such without it (.5: nothing was taken up; 1: all was), `auc_elsewhere` the
same for other captions, where .5 is best. `loss` is that of the codes of held-out pictures under
their own captions, without and with it: what was kept. The judge is in no loss of the program
(`efficientnet-lite0`) unless named.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from estimators.metrics.extractors.features import Features, extract
from estimators.metrics.extractors.networks import load_extractor
from estimators.metrics.probes.linear import fit_probe, fit_scaler
from estimators.metrics.scores.auc import auc
from ufc import UFCPipeline
from ufc.training.config import TrainConfig
from ufc.training.objectives.masked_codes import code_loss
from ufc.training.setup import stored_batches
from ufc_base.data.datasets import open_dataset
from ufc_base.data.opening import reading_of
from ufc_base.images import load_image

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
BATCH = 16


def main(arguments: Sequence[str] | None = None) -> int:
    flags = read_flags(arguments)
    pipe = UFCPipeline.from_pretrained(flags.model, dtype="fp32", device=flags.device)
    pipe.set_progress_bar_config(disable=True)
    samples = open_dataset(flags.real, reading_of(settings_of(flags)), "validation")
    elsewhere = other_captions(samples, flags.pictures)
    photos = [load_image(path) for path in sorted(Path(flags.own).iterdir()) if is_picture(path)]
    own = pipe.decode_pil(pipe.encode(photos).flatten(1))
    asked = [flags.caption] * flags.pictures

    with tempfile.TemporaryDirectory() as folder:
        batches = held_out(flags, pipe, samples, Path(folder))
        without = [generate(pipe, asked, 0), generate(pipe, elsewhere, 0)]
        loss = loss_of(pipe, batches)
        prior = generate(pipe, asked, 10_000)
        pipe.load_lora_weights(flags.adapter)
        adapted = [generate(pipe, asked, 0), generate(pipe, elsewhere, 0)]
        loss_adapted = loss_of(pipe, batches)

    judge = load_extractor(flags.extractor, device=flags.device)

    def features(pictures: Sequence[Image.Image]) -> Features:
        return extract(judge, pictures)

    scaler = fit_scaler(known := np.concatenate([features(own), features(prior)]))
    labels = ["own"] * len(own) + ["prior"] * len(prior)
    probe = fit_probe(scaler(known), labels)

    def score(pictures: Sequence[Image.Image]) -> Any:
        found = scaler(features(pictures)) @ probe.weight + probe.bias
        return found[:, 0] - found[:, 1]

    figures = {
        "auc": auc(score(adapted[0]), score(without[0])),
        "auc_elsewhere": auc(score(adapted[1]), score(without[1])),
        "loss": loss,
        "loss_with_adapter": loss_adapted,
        "own": len(own),
        "pictures": flags.pictures,
        "extractor": flags.extractor,
        "bytes": adapter_size(Path(flags.adapter)),
    }
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    return 0


def generate(pipe: UFCPipeline, prompts: Sequence[str], seed: int) -> list[Image.Image]:
    """A picture of each prompt; the number of a prompt is added to the seed."""
    pictures: list[Image.Image] = []
    for start in range(0, len(prompts), BATCH):
        part = list(prompts[start : start + BATCH])
        pictures += pipe(part, seed=[seed + start + i for i in range(len(part))]).images
    return pictures


@torch.no_grad()
def loss_of(pipe: UFCPipeline, batches: Sequence[Any]) -> float:
    """Mean loss of the codes of some batches."""
    found = [code_loss(pipe.transformer, batch.to(pipe.device), 0.0).loss for batch in batches]
    return float(torch.stack(found).mean())


def held_out(flags: argparse.Namespace, pipe: UFCPipeline, samples: Any, folder: Path) -> list[Any]:
    """Batches of the held-out pictures, the same for both."""
    source = stored_batches(
        settings_of(flags),
        pipe.tokenizer,
        samples,
        pipe.text,
        folder / "codes.safetensors",
        range(BATCH),
    )
    return [source(step) for step in range(flags.batches)]


def settings_of(flags: argparse.Namespace) -> TrainConfig:
    return TrainConfig(
        train_data_dir=flags.real, init_from=flags.model, train_batch_size=BATCH, augmentations=0
    )


def other_captions(samples: Any, count: int) -> list[str]:
    """Captions of the held-out set, from its beginning, as many as are wanted."""
    records = [samples.record(index) for index in range(min(count, len(samples)))]
    found = [str(record.get("text") or record.get("caption") or "") for record in records]
    return [text for text in found if text]


def is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def adapter_size(path: Path) -> int:
    """Bytes of an adapter's file, or of the one in its folder."""
    files = [path] if path.is_file() else sorted(path.glob("*lora*.safetensors"))
    return sum(file.stat().st_size for file in files)


def read_flags(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("adapter", help="file, or the folder that it is in")
    parser.add_argument("--own", required=True, help="folder of the own pictures")
    parser.add_argument("--caption", required=True, help="what they are called")
    parser.add_argument("--real", required=True, help="held-out pictures with captions")
    parser.add_argument("--pictures", type=int, default=64, help="of each kind")
    parser.add_argument("--batches", type=int, default=8, help="of held-out pictures")
    parser.add_argument("--extractor", default="efficientnet-lite0")
    parser.add_argument("--device", default="cpu")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
