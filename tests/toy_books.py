"""A tiny pipeline with two codes a cell, each out of a codebook of 8."""

from __future__ import annotations

from dataclasses import replace

import torch
from conftest import TEXTS, TINY_VQGAN

from ufc.conditioning.text import TextTokenizer
from ufc.model.transformer import UFCConfig, UFCTransformer
from ufc.pipeline import UFCPipeline
from vqgan.model import VQGAN

SIZE, CODES = 8, 64  # of a codebook; joint ones
BOOKS_VQGAN = replace(TINY_VQGAN, n_embed=SIZE, codebooks=2)


def books_tokenizer() -> VQGAN:
    torch.manual_seed(0)
    tokenizer = VQGAN(BOOKS_VQGAN)
    torch.nn.init.normal_(tokenizer.quantize.embedding.weight, std=0.3)
    return tokenizer.eval()


def books_transformer(text_vocabulary: int = 50, **changes: object) -> UFCTransformer:
    """Untrained, but the codes of a cell depend on each other."""
    torch.manual_seed(1)
    sizes = {"width": 32, "depth": 2, "heads": 2, "feed_forward": 48, "autoregressive": True}
    sizes |= changes
    config = UFCConfig(
        codes=CODES, codebooks=2, code_width=4, text_vocabulary=text_vocabulary, grid=4, **sizes
    )  # type: ignore[arg-type]
    model = UFCTransformer(config)
    model.know_codebook(torch.randn(2 * SIZE, 2))
    with torch.no_grad():  # larger than the usual start, so that inputs make a difference
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and not name.startswith("links."):
                parameter.mul_(8)
        torch.nn.init.normal_(model.links[0].out.weight, std=0.02)
    return model.eval()


def books_pipeline() -> UFCPipeline:
    text = TextTokenizer.train(TEXTS, 300)
    return UFCPipeline(books_tokenizer(), books_transformer(text.size), text, name="books")
