"""A tiny CLIP, untrained, loaded as any other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch


def small_clip(folder: Path) -> tuple[str, Path]:
    """A small CLIP of random weights, known to open_clip by name, and its checkpoint."""
    open_clip = pytest.importorskip("open_clip")
    sizes = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
        "text_cfg": {
            "context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1,
        },
    }  # fmt: skip
    (folder / "small.json").write_text(json.dumps(sizes))
    open_clip.add_model_config(folder / "small.json")
    torch.manual_seed(0)
    torch.save(open_clip.create_model("small").state_dict(), folder / "small.pt")
    return "small", folder / "small.pt"
