"""What is compared: each contender is built at a shape and generates from random weights.

All get a text of 24 tokens, take 12 steps (or one a token, where they are autoregressive), and are
used as their own documentation does, in float32 unless their name says otherwise. No guidance.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ufc.benchmark import Shape, random_pipeline
from ufc.conditioning.sequence import ControlItem
from ufc.pipeline import UFCPipeline
from ufc.sampling.config import SamplerConfig
from ufc.sampling.generate import generate_tokens, last_is_best
from ufc.sampling.guidance import make_prefix
from ufc.sampling.loop import Problem
from vqgan.perceptual import import_torchvision

TEXT_TOKENS = 24


@dataclass(frozen=True)
class Contender:
    """`generate(batch)` makes so many grids, or pictures where it decodes.

    `learn(batch)` does one step of training, where that is compared.
    """

    name: str
    parameters: int
    generate: Callable[[int], object]
    learn: Callable[[int], object] | None = None


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def ours(
    shape: Shape, steps: int, dtype: str = "fp32", decode: bool = False, compiled: bool = False
) -> Contender:
    """This program: `pipeline(...)`, or with `decode` off its transformer and sampler alone."""
    pipeline = random_pipeline(shape)
    model = pipeline.transformer
    parameters = count(model)
    pipeline.to("auto", dtype, compile=compiled)
    words = pipeline.text.encode_all("men's navy blue striped polo t-shirt")
    item = ControlItem((list(words) * TEXT_TOKENS)[:TEXT_TOKENS])

    def grids(batch: int) -> Tensor:
        with torch.inference_mode():
            blank = torch.zeros(batch, shape.grid**2, dtype=torch.int64, device=pipeline.device)
            problem = Problem(
                codes_BT=blank,
                locked_BT=torch.zeros_like(blank, dtype=torch.bool),
                codes=shape.codes,
                generators=[torch.Generator().manual_seed(row) for row in range(batch)],
                grid=pipeline.grid_size,
            )
            return generate_tokens(
                model,
                [item] * batch,
                None,
                problem,
                SamplerConfig(order="maskgit", steps=steps),
                rescore=lambda score: last_is_best(),
            ).canvas.codes

    def generate(batch: int) -> object:
        codes = grids(batch)
        return pipeline.decode(codes) if decode else codes

    name = "ours" if pipeline.precision == "fp32" else f"ours, {pipeline.precision}"
    return Contender(name + (", compiled" if compiled else ""), parameters, generate)


def our_training(shape: Shape, dtype: str, compiled: bool = False) -> Contender:
    """Training as `ufc train` does it, in fp32 or mixed precision."""
    pipeline = random_pipeline(shape)
    model = pipeline.to("auto", "fp32").transformer
    model.requires_grad_(True).train()
    model.compiled_training = compiled
    name = f"ours, {dtype}{', compiled' if compiled else ''}"
    learn = in_precision(trainer(pipeline), dtype)
    return Contender(name, count(model), generate=lambda batch: None, learn=learn)


def in_precision(learn: Callable[[int], object], dtype: str) -> Callable[[int], object]:
    """A step in fp32, or under autocast to bf16."""

    def step(batch: int) -> object:
        with torch.autocast(device().type, torch.bfloat16, enabled=dtype == "bf16"):
            return learn(batch)

    return step


def trainer(pipeline: UFCPipeline) -> Callable[[int], object]:
    """A step of masked-code training: controls, forward, backward, AdamW."""
    model, device = pipeline.transformer, pipeline.device
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
    cells, codes = math.prod(model.config.grid_size), model.config.codes

    def learn(batch: int) -> object:
        items = [ControlItem(list(range(TEXT_TOKENS)))] * batch
        real = torch.randint(codes, (batch, cells), device=device)
        ratio = torch.cos(torch.rand(batch, 1, device=device) * torch.pi / 2)
        masks = torch.rand(batch, cells, device=device) < ratio
        masks[:, 0] = True
        ask_N = masks.flatten().nonzero().squeeze(1)
        blank = real.masked_fill(masks, codes)
        hidden = model(blank, make_prefix(model, items), ask_N=ask_N).target
        loss = nn.functional.cross_entropy(model.code_logits(hidden), real[masks])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    return learn


def amused(shape: Shape, steps: int) -> Contender:
    """diffusers' pipeline for aMUSEd (Patil et al. 2024), picture included."""
    import_torchvision()
    diffusers: Any = importlib.import_module("diffusers")
    diffusers.utils.logging.set_verbosity_error()
    torch.manual_seed(0)
    vocabulary = shape.codes + 8
    transformer = diffusers.UVit2DModel(
        hidden_size=shape.width,
        in_channels=shape.width,
        block_out_channels=shape.width,
        block_num_heads=shape.heads,
        num_hidden_layers=shape.depth,
        num_attention_heads=shape.heads,
        intermediate_size=shape.feed_forward,
        vocab_size=vocabulary,
        codebook_size=shape.codes,
        sample_size=shape.grid,
    )
    widths = (32, 64, 64, 128)
    decoder = diffusers.VQModel(
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        block_out_channels=widths,
        latent_channels=64,
        num_vq_embeddings=shape.codes,
        lookup_from_codebook=True,
    )
    pipeline = diffusers.AmusedPipeline(
        decoder.eval(), None, None, transformer.eval(), diffusers.AmusedScheduler(vocabulary - 1)
    ).to(device())
    pipeline.set_progress_bar_config(disable=True)
    side = 8 * shape.grid

    def generate(batch: int) -> object:
        return pipeline(
            height=side,
            width=side,
            num_inference_steps=steps,
            guidance_scale=1.0,
            prompt_embeds=torch.zeros(batch, 768, device=device()),
            encoder_hidden_states=torch.zeros(batch, TEXT_TOKENS, 768, device=device()),
            output_type="pt",
        ).images

    return Contender("aMUSEd (diffusers)", count(transformer), generate)


def muse(shape: Shape, steps: int, train: bool = False) -> Contender:
    """muse-maskgit-pytorch's transformer and sampler; its decoder is left out."""
    import_torchvision()
    from muse_maskgit_pytorch import MaskGit, MaskGitTransformer, VQGanVAE
    from muse_maskgit_pytorch import muse_maskgit_pytorch as module

    module.get_encoded_dim = lambda name: 768  # else it asks a server for the size of T5
    module.tqdm = lambda steps, **settings: steps
    torch.manual_seed(0)
    transformer = MaskGitTransformer(
        num_tokens=shape.codes,
        seq_len=shape.grid**2,
        dim=shape.width,
        depth=shape.depth,
        dim_head=shape.width // shape.heads,
        heads=shape.heads,
        flash=True,
    )
    tokenizer = VQGanVAE(dim=32, codebook_size=shape.codes, use_vgg_and_gan=False)
    masked = MaskGit(image_size=8 * shape.grid, transformer=transformer, vae=tokenizer)
    masked.to(device())
    transformer.encode_text = lambda texts: texts_of(len(texts))
    masked.vae.decode_from_ids = lambda ids: ids
    optimizer = torch.optim.AdamW(transformer.parameters(), 1e-4) if train else None

    def generate(batch: int) -> object:
        return masked.generate(
            ["a shirt"] * batch, timesteps=steps, cond_scale=1, fmap_size=shape.grid
        )

    def learn(batch: int) -> object:
        assert optimizer is not None
        ids = torch.randint(shape.codes, (batch, shape.grid, shape.grid), device=device())
        loss = masked(ids, text_embeds=texts_of(batch))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    masked.train(train)
    return Contender("muse-maskgit-pytorch", count(transformer), generate, learn if train else None)


def taming(shape: Shape, steps: int) -> Contender:
    """taming-transformers' autoregressive sampler with its cache, a token at a time."""
    import_torchvision()
    transformers: Any = importlib.import_module("transformers")
    # Its import wants a function that transformers no longer has; it is used for top-k alone.
    transformers.top_k_top_p_filtering = None
    from taming.modules.transformer.mingpt import GPT, sample_with_past

    torch.manual_seed(0)
    cells = shape.grid**2
    model = GPT(
        shape.codes, TEXT_TOKENS + cells, shape.depth, shape.heads, shape.width
    ).eval().to(device())  # fmt: skip

    def generate(batch: int) -> object:
        text = torch.zeros(batch, TEXT_TOKENS, dtype=torch.int64, device=device())
        with torch.inference_mode():
            return sample_with_past(text, model, steps=cells)

    return Contender("taming-transformers, autoregressive", count(model), generate)


def min_dalle(shape: Shape, steps: int) -> Contender:
    """min-dalle's decoder, a token at a time; it always runs both branches of its guidance."""
    from min_dalle.models.dalle_bart_decoder import IMAGE_TOKEN_COUNT, DalleBartDecoder

    torch.manual_seed(0)
    vocabulary = 2**14  # its sampler is written for this
    model = (
        DalleBartDecoder(
            vocabulary, shape.width, shape.heads, shape.feed_forward, shape.depth, str(device())
        )
        .eval()
        .to(device())
    )
    settings = torch.tensor([1.0, 256.0, 1.0], device=device())
    cells = min(shape.grid**2, IMAGE_TOKEN_COUNT)

    def generate(batch: int) -> object:
        with torch.inference_mode():
            mask = torch.ones(2 * batch, 1, 1, TEXT_TOKENS, dtype=torch.bool, device=device())
            text = torch.zeros(2 * batch, TEXT_TOKENS, shape.width, device=device())
            state = torch.zeros(
                shape.depth, 4 * batch, IMAGE_TOKEN_COUNT, shape.width, device=device()
            )
            token = torch.full((batch, 1), vocabulary - 1, device=device())
            places = torch.arange(IMAGE_TOKEN_COUNT, device=device())
            tokens = []
            for place in range(cells):
                new, state = model.sample_tokens(
                    settings=settings,
                    attention_mask=mask,
                    encoder_state=text,
                    attention_state=state,
                    prev_tokens=token,
                    token_index=places[[place]],
                )
                token = new[:, None]
                tokens.append(new)
            return torch.stack(tokens, dim=1)

    return Contender("min-dalle, decoder", count(model), generate)


def texts_of(batch: int) -> Tensor:
    """Text embeddings as muse takes them; a row of zeros would count as padding."""
    return torch.ones(batch, TEXT_TOKENS, 768, device=device())


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def depth_for(parameters: int, shape: Shape) -> int:
    """The depth at which our transformer has about so many parameters."""
    from dataclasses import replace

    one, two = (count(random_pipeline(replace(shape, depth=depth)).transformer) for depth in (1, 2))
    return max(1, round((parameters - one) / (two - one)) + 1)


def quiet() -> None:
    """No progress bars, no warnings of other people's code."""
    import logging
    import os
    import warnings

    logging.getLogger("xformers").setLevel(logging.ERROR)
    os.environ["HF_HUB_OFFLINE"] = "1"
    warnings.filterwarnings("ignore")
