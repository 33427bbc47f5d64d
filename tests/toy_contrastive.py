"""A tiny contrastive model, untrained."""

from __future__ import annotations

import torch
from conftest import tiny_tokenizer

from estimators.contrastive import ContrastiveConfig, ContrastiveModel

SIZES = {"image_width": 16, "text_width": 16, "text_depth": 1, "embedding": 8}


def tiny_model(words: int = 300) -> ContrastiveModel:
    torch.manual_seed(0)
    encoder = tiny_tokenizer().config.to_dict()
    config = ContrastiveConfig(encoder=encoder, text_vocabulary=words, heads=2, **SIZES)  # type: ignore[arg-type]
    return ContrastiveModel(config).eval()
