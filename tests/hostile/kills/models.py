"""What all jobs start from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from cli_helpers import write
from conftest import make_pipeline
from PIL import Image
from toy_data import write_folder

from ufc.pipeline import UFCPipeline
from ufc_base.checkpoint import CheckpointError
from vqgan.model import VQGAN


class Models:
    """A tiny model, data, a photo and prompts, made once in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        make_pipeline().save_pretrained(folder / "model")
        self.model = folder / "model"
        self.tokenizer = self.model / "tokenizer"
        self.data = write_folder(folder / "data", 12)
        rng = np.random.default_rng(0)
        self.photo = folder / "photo.png"
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(self.photo)
        self.prompts = write(
            folder / "p.jsonl",
            {"id": "a", "prompt": "red bag", "seed": 1, "num_images_per_prompt": 5},
            {"id": "b", "prompt": "blue shirt", "seed": 9, "num_images_per_prompt": 3},
            {"id": "c", "prompt": "黑色手表", "seed": 2, "order": "pnag", "num_candidates": 2},
        )


def sound_model(folder: Path) -> bool:
    """Whether a folder is a model; one that is none says so by `CheckpointError` alone."""
    kind = UFCPipeline if (folder / "model_index.json").is_file() else VQGAN
    try:
        kind.from_pretrained(folder)
    except CheckpointError:
        return False
    return True
