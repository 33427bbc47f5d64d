"""A tiny pipeline of pictures that are not square: 24 high, 16 wide, in 6 x 4 blocks of 4 px."""

from __future__ import annotations

from dataclasses import replace

import torch
from conftest import TEXTS, TINY_VQGAN, tiny_transformer

from ufc.conditioning.text import TextTokenizer
from ufc.pipeline import UFCPipeline
from vqgan.model import VQGAN

PORTRAIT = replace(TINY_VQGAN, height=24, width=16)


def portrait_pipeline() -> UFCPipeline:
    """Untrained: it tests plumbing and draws noise."""
    text = TextTokenizer.train(TEXTS, 300)
    transformer = tiny_transformer(text.size)
    transformer.config = replace(transformer.config, grid=(6, 4))
    torch.manual_seed(0)
    tokenizer = VQGAN(PORTRAIT)
    torch.nn.init.normal_(tokenizer.quantize.embedding.weight, std=0.3)
    return UFCPipeline(tokenizer.eval(), transformer, text, name="portrait")
