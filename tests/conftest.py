"""A whole pipeline, tiny and untrained, made here: it tests plumbing and draws noise."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_helpers import SIDE
from PIL import Image

from ufc.cli.main import main
from ufc.conditioning.text import TextTokenizer
from ufc.model.transformer import UFCConfig, UFCTransformer
from ufc.pipeline import UFCPipeline
from vqgan.model import VQGAN, VQGANConfig

TEXTS = ["men's blue shirt", "women's red bag", "男士黑色手表", "女士粉色上衣"] * 4

TINY_VQGAN = VQGANConfig(
    resolution=16,
    ch=8,
    ch_mult=(1, 2),
    num_res_blocks=1,
    attn_resolutions=(),
    z_channels=8,
    embed_dim=4,
    n_embed=16,
    norm_groups=2,
    patch_size=2,
)


def picture(seed: int = 0, size: tuple[int, int] = (16, 16)) -> Image.Image:
    """Noise, of `size` (width, height)."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def tiny_tokenizer(seed: int = 0) -> VQGAN:
    torch.manual_seed(seed)
    model = VQGAN(TINY_VQGAN)
    torch.nn.init.normal_(model.quantize.embedding.weight, std=0.3)
    return model.eval()


def tiny_transformer(text_vocabulary: int, seed: int = 1, **changes: object) -> UFCTransformer:
    torch.manual_seed(seed)
    sizes = {"width": 32, "depth": 2, "heads": 2, "feed_forward": 48} | changes
    config = UFCConfig(codes=16, code_width=4, text_vocabulary=text_vocabulary, grid=4, **sizes)  # type: ignore[arg-type]
    model = UFCTransformer(config)
    model.know_codebook(torch.randn(16, 4))
    with torch.no_grad():  # larger than the usual start, so that inputs make a difference
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(8)
    return model.eval()


def make_pipeline(**changes: object) -> UFCPipeline:
    text = TextTokenizer.train(TEXTS, 300)
    return UFCPipeline(tiny_tokenizer(), tiny_transformer(text.size, **changes), text, name="tiny")


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory) -> Iterator[Path]:
    """What is kept between runs is kept for the tests alone."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ufc_base.data.soundness.user_cache", lambda: folder)
        yield folder


@pytest.fixture(scope="session")
def text() -> TextTokenizer:
    return TextTokenizer.train(TEXTS, 300)


@pytest.fixture(scope="session")
def pipeline() -> UFCPipeline:
    return make_pipeline()


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """The tiny pipeline as a folder."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    make_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def chat_model(tmp_path_factory) -> Path:
    """A tiny chat model as a folder; see `toy_chat`."""
    pytest.importorskip("transformers")
    from toy_chat import write_chat_model

    return write_chat_model(tmp_path_factory.mktemp("chat") / "tiny")


@pytest.fixture
def ufc(model, tmp_path, monkeypatch, capsys):
    """Run `ufc generate` or `edit` with the tiny model into tmp_path/out: (code, out, err)."""
    monkeypatch.chdir(tmp_path)

    def run(command: str, *arguments: object, output_dir: object = "out"):
        fixed = ["--model", model, "--output-dir", output_dir, "--num-inference-steps", 2]
        code = main([command, *map(str, arguments), *map(str, fixed)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def photo(tmp_path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def pytest_configure() -> None:
    """Ctrl-C is heard though the tests run in the background, where shells have it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def deterministic_as_before() -> Iterator[None]:
    """`--deterministic` is of a process; a test that gives it in this one leaves nothing behind."""
    before = torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(before)


# Files whose tests compute with models: they run under both answers to "has bf16?".
NUMERICS = (
    "ufc/model",
    "ufc/sampling",
    "ufc/training",
    "ufc/test_alone_or_in_a_batch.py",
    "ufc/test_two_codebooks.py",
    "ufc/test_pipeline.py",
    "ufc_base/training",
    "vqgan",
    "webui/sessions",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    folder = Path(__file__).parent
    for item in items:
        if item.path.relative_to(folder).as_posix().startswith(NUMERICS):
            item.add_marker(pytest.mark.numerics)
