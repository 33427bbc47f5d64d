"""A pipeline with two codes a cell: from words to files and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cli_helpers import manifest
from conftest import make_pipeline, picture
from PIL import Image
from toy_books import CODES, SIZE, books_pipeline, books_tokenizer
from toy_contrastive import tiny_model

from ufc.cli.main import main
from ufc.contrastive_scorer import ContrastiveEstimator
from ufc.io.embedded_tokens import carried_codes
from ufc.io.png.metadata import read_metadata
from ufc.pipeline import UFCPipeline
from ufc.sampling.orders import ORDERS
from ufc.token_confidence import assess
from ufc_base.checkpoint import CheckpointError
from vqgan.quantizer import join_codes

PROMPTS = ["men's blue shirt", "red bag", "男士黑色手表"]


@pytest.fixture(scope="module")
def pipe() -> UFCPipeline:
    return books_pipeline()


def generate(pipe: UFCPipeline, rows: list[int], **settings: Any) -> Any:
    seeds = [row + 1 for row in rows]
    return pipe([PROMPTS[row] for row in rows], seed=seeds, num_inference_steps=3, **settings)


def test_the_tokenizer_speaks_of_one_code_a_cell() -> None:
    tokenizer = books_tokenizer()
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    codes = tokenizer.encode(x)
    apart = tokenizer.quantize.codes(tokenizer.features(x))
    assert codes.shape == (2, 4, 4) and apart.shape == (2, 4, 4, 2)
    assert torch.equal(tokenizer.split(codes), apart) and torch.equal(join_codes(apart, 8), codes)
    assert tokenizer.config.codes == CODES and codes.max() >= SIZE
    expected = tokenizer.decode_vectors(tokenizer.quantize.vectors(apart)).clamp(-1, 1)
    assert torch.equal(tokenizer.decode(codes), expected)


@pytest.mark.parametrize("order", ORDERS)
def test_alone_or_in_a_batch(pipe: UFCPipeline, order: str) -> None:
    settings = {"order": order, "guidance_scale": 3.0, "num_candidates": 1 + (order == "pnag")}
    batch = generate(pipe, [0, 1, 2], **settings)
    for row in range(3):
        assert torch.equal(generate(pipe, [row], **settings).codes[0], batch.codes[row])
    assert SIZE <= batch.codes.max() < CODES and batch.codes.min() >= 0


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "int8"])
def test_deterministic_is_bit_for_bit_the_same(dtype: str) -> None:
    pipe = books_pipeline().to("cpu", dtype, deterministic=True)
    settings = {"best_of": 2, "guidance_scale": 2.0, "reference_images": [[picture(1)]] * 3}
    batch = generate(pipe, [0, 1, 2], **settings)
    settings["reference_images"] = [[picture(1)]]
    for row in range(3):
        alone = generate(pipe, [row], **settings)
        assert torch.equal(alone.codes[0], batch.codes[row])
        assert (alone.confidence[0] == batch.confidence[row]).all()


def test_the_reranker_looks_at_the_pictures_of_joint_codes() -> None:
    pipe = books_pipeline()
    pipe.contrastive = ContrastiveEstimator(tiny_model(pipe.text.size), pipe.text)
    out = generate(pipe, [0, 1], contrastive_weight=0.5, best_of=2)
    assert out.codes.max() < CODES and all(0 <= score <= 1 for score in out.compliance)


def test_changed_weights_are_noticed(pipe: UFCPipeline) -> None:
    own = books_pipeline()
    before = generate(own, [0], temperature=0.0).codes
    own.transformer.links[0].out.weight.data.mul_(-20)
    assert not torch.equal(generate(own, [0], temperature=0.0).codes, before)


def test_an_edit_keeps_its_blocks_exactly(pipe: UFCPipeline) -> None:
    photo, keep = picture(3), [0, 1, 2, 3, 9]
    out = pipe("red bag", image=photo, preserve_blocks=keep, seed=0, num_inference_steps=3)
    before, after = np.asarray(photo), np.asarray(out.images[0])
    for block in keep:
        y, x = block // 4 * 4, block % 4 * 4
        assert (before[y : y + 4, x : x + 4] == after[y : y + 4, x : x + 4]).all()
    assert (before != after).any()
    codes = out.codes[0].tolist()
    again = pipe("red bag", image=out.images[0], codes=codes, preserve_blocks=keep, seed=5)
    assert [again.codes[0].tolist()[block] for block in keep] == [codes[block] for block in keep]
    with pytest.raises(ValueError, match="codes must be 0 to 63"):
        pipe("red bag", codes=[CODES] + [0] * 15, preserve_blocks=keep, seed=0)


def test_every_block_can_be_doubted(pipe: UFCPipeline) -> None:
    codes = generate(pipe, [0]).codes[0].tolist()
    found = assess(pipe, codes, PROMPTS[0])
    assert len(found.confidence) == 16 and all(0 <= sure <= 1 for sure in found.confidence)


def test_the_program_writes_joint_codes_and_takes_them_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pipe: UFCPipeline
) -> None:
    monkeypatch.chdir(tmp_path)
    pipe.save_pretrained("model")
    fixed = ["--model", "model", "--num-inference-steps", "2", "--dtype", "fp32"]
    assert (
        main(["generate", "--prompt", "red bag", "--seed", "4", "--output-dir", "out", *fixed]) == 0
    )
    (row,), (file,) = manifest(), Path("out").glob("*-*.png")
    loaded = UFCPipeline.from_pretrained("model", dtype="fp32")
    with Image.open(file) as image:
        image.load()
        codes = json.loads(image.info["ufc_blocks"])["codes"]
        carried = carried_codes(
            UFCPipeline.from_pretrained("model"), image, read_metadata(file).blocks
        )
    assert row["seed"] == 4 and list(carried or ()) == codes and max(codes) >= SIZE
    drawn = loaded("red bag", seed=4, num_inference_steps=2)
    assert drawn.codes[0].tolist() == codes
    edit = ["edit", "--prompt", "blue bag", "--image", str(file), "--preserve-blocks", "0-7"]
    assert main([*edit, "--seed", "5", "--output-dir", "edited", *fixed]) == 0
    (edited,) = Path("edited").glob("*-*.png")
    with Image.open(edited) as image:
        image.load()
        assert json.loads(image.info["ufc_blocks"])["codes"][:8] == codes[:8]


def test_parts_of_other_codes_are_not_of_one_model(pipe: UFCPipeline) -> None:
    with pytest.raises(CheckpointError, match="2 x 8 codes, the transformer was made for 16"):
        UFCPipeline(books_tokenizer(), make_pipeline().transformer, pipe.text)
