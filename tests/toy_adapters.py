"""Low-rank adapters that make a difference, of the tiny pipeline."""

from __future__ import annotations

from pathlib import Path

import torch
from conftest import make_pipeline

from ufc import adapters


def learnt(seed: int, folder: Path, rank: int = 2) -> Path:
    """A file of an adapter with weights that make a difference."""
    model = make_pipeline().transformer
    adapters.add_adapter(model, rank, alpha=2 * rank)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if ".lora_" in name:
                weight.normal_(0, 0.3, generator=generator)
    return adapters.save_adapter(model, folder)
