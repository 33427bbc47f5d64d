"""Generating cell by cell: what is kept, what is repeatable, and that a cache changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from conftest import make_pipeline, picture
from torch import Tensor

from ufc.conditioning.sequence import ControlItem
from ufc.pipeline import UFCPipeline
from ufc.sampling.config import SamplerConfig
from ufc.sampling.generate import ask_model, generate_tokens
from ufc.sampling.guidance import make_prefix
from ufc.sampling.loop import Predict, Problem
from ufc.sampling.token_sampling import sample_codes

AR: dict[str, Any] = {"order": "autoregressive"}
CELLS, CODES = 16, 16


@pytest.fixture(scope="module")
def pipe() -> UFCPipeline:
    return make_pipeline(autoregressive=True).to("cpu", "fp32")


def items(pipe: UFCPipeline) -> list[ControlItem]:
    return [ControlItem(pipe.text.encode(words)) for words in ("men's blue shirt", "bag", "")]


def by_hand(pipe: UFCPipeline, locked_BT: Tensor, known_BT: Tensor, guidance: float) -> Tensor:
    """Every cell by a whole causal pass over everything, under each of guidance's branches."""
    model, codes_BT = pipe.transformer, torch.where(locked_BT, known_BT, 0)
    controls, none = make_prefix(model, items(pipe)), make_prefix(model, [ControlItem()] * 3)
    noise_BT = torch.stack(
        [torch.rand(CELLS, generator=torch.Generator().manual_seed(n)) for n in range(3)]
    )
    for cell in range(CELLS):
        told, untold = (model(codes_BT, p, causal=True).target[:, cell] for p in (controls, none))
        logits_BV = model.code_logits(torch.lerp(untold, told, guidance))
        sampled, _ = sample_codes(logits_BV, noise_BT[:, cell], 0.8, None, 9, 0.95)
        codes_BT[:, cell] = torch.where(locked_BT[:, cell], known_BT[:, cell], sampled)
    return codes_BT


@torch.no_grad()
@pytest.mark.parametrize("apart", [False, True])
def test_a_cache_samples_what_whole_passes_sample(pipe: UFCPipeline, apart: bool) -> None:
    generator = torch.Generator().manual_seed(5)
    known_BT = torch.randint(0, CODES, (3, CELLS), generator=generator)
    locked_BT = torch.zeros(3, CELLS, dtype=torch.bool)
    locked_BT[0, :5], locked_BT[0, 9], locked_BT[1, -4:] = True, True, True
    problem = Problem(
        known_BT, locked_BT, CODES, [torch.Generator().manual_seed(n) for n in range(3)], (4, 4)
    )
    config = SamplerConfig(order="autoregressive", temperature=0.8, top_k=9, top_p=0.95)
    found = generate_tokens(
        pipe.transformer, items(pipe), None, problem, config, guidance_scale=2.5, apart=apart
    )
    assert torch.equal(found.canvas.codes, by_hand(pipe, locked_BT, known_BT, 2.5))
    assert torch.equal(found.canvas.codes[locked_BT], known_BT[locked_BT])
    assert found.steps == [10, 12, 16]
    assert found.canvas.filled_step[0].tolist() == [-1] * 5 + [0, 1, 2, 3, -1, *range(4, 10)]
    assert [[point["step"] for point in curve] for curve in found.curves] == [[9], [11], [15]]


@pytest.mark.parametrize("more", [{}, {"best_of": 2, "guidance_scale": 1.0, "top_k": 5}])
def test_a_picture_is_the_same_alone_and_in_a_batch(pipe: UFCPipeline, more: Any) -> None:
    prompts, references = ["men's blue shirt", "bag", None], [[], [picture(1)], [picture(2)]]
    batch = pipe(prompts, reference_images=references, seed=[4, 5, 6], **AR, **more)
    for row in range(3):
        alone = pipe(prompts[row], reference_images=references[row], seed=row + 4, **AR, **more)
        assert torch.equal(alone.codes[0], batch.codes[row])
        assert alone.steps == [CELLS]


@pytest.mark.parametrize("dtype", ["bf16", "int8"])
def test_other_precisions_keep_it_where_that_is_asked_for(dtype: str) -> None:
    pipe = make_pipeline(autoregressive=True).to("cpu", dtype, deterministic=True)
    batch = pipe(["men's blue shirt", "bag"], seed=[1, 2], **AR)
    assert torch.equal(pipe("bag", seed=2, **AR).codes[0], batch.codes[1])


def test_one_code_to_choose_from_is_the_likeliest(pipe: UFCPipeline) -> None:
    greedy = pipe("bag", seed=1, temperature=0.0, **AR)
    assert torch.equal(pipe("bag", seed=2, top_k=1, **AR).codes, greedy.codes)
    assert torch.equal(pipe("bag", seed=3, top_p=0.0, **AR).codes, greedy.codes)


def test_kept_blocks_are_exact_on_any_grid(pipe: UFCPipeline) -> None:
    image = picture(3, (24, 16))
    kept = [0, 1, 2, 9, 23]
    edit: dict[str, Any] = {"image": image, "preserve_blocks": kept, "height": 16, "width": 24}
    out = pipe("bag", seed=1, **edit, **AR)
    other = pipe("bag", seed=1, **edit)
    assert out.codes.shape == (1, 24) and out.steps == [19]
    assert torch.equal(out.codes[0, kept], other.codes[0, kept])
    assert out.images[0].crop((0, 0, 4, 4)).tobytes() == image.crop((0, 0, 4, 4)).tobytes()


def test_what_is_ignored_changes_nothing(pipe: UFCPipeline) -> None:
    plain = pipe("bag", seed=1, **AR)
    other = pipe("bag", seed=1, num_inference_steps=2, num_candidates=3, patience=1,
                 choice_temperature=0.0, score_steps=True, **AR)  # fmt: skip
    assert torch.equal(plain.codes, other.codes)
    assert plain.compliance[0] == pytest.approx(other.compliance[0])


@torch.no_grad()
def test_codes_that_have_changed_since_are_gone_on_with(pipe: UFCPipeline) -> None:
    def fresh() -> Predict:
        return ask_model(pipe.transformer, items(pipe)[:1], [ControlItem()], 2.0, (4, 4), True)[0]

    codes_MT, owner_M = torch.randint(CODES, (1, CELLS)), torch.zeros(1, dtype=torch.int64)
    at = [torch.arange(CELLS)[None] == cell for cell in (4, 5)]
    kept = fresh()
    kept(codes_MT, owner_M, at[0])
    codes_MT[0, 1] = (codes_MT[0, 1] + 1) % CODES
    found, expected = kept(codes_MT, owner_M, at[1]), fresh()(codes_MT, owner_M, at[1])
    assert isinstance(found, Tensor) and isinstance(expected, Tensor)
    assert torch.allclose(found, expected, atol=1e-5)


def test_stopped_it_fills_the_rest_at_once(pipe: UFCPipeline) -> None:
    seen: list[Tensor] = []

    def watch(pipe: UFCPipeline, step: int, timestep: int, state: dict[str, Any]) -> None:
        seen.append(state["codes"].clone())
        assert state["compliance"] is None and state["image"]()
        if step == 4:
            state["stop"]()

    out = pipe("bag", seed=1, callback_on_step_end=watch, **AR)
    assert [int((codes < CODES).sum()) for codes in seen] == [1, 2, 3, 4, 5]
    assert (out.codes < CODES).all() and out.steps == [6]
    assert torch.equal(out.codes[:, :5], pipe("bag", seed=1, **AR).codes[:, :5])
    assert pipe("bag", seed=1, time_budget=0.001, **AR).steps[0] < CELLS


def test_a_model_that_has_not_learnt_it_says_what_to_do(pipeline: UFCPipeline, ufc) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=r"another order, or train .*autoregressive=0\.3"):
        pipeline("bag", **AR)
    code, _, errors = ufc("generate", "--prompt", "bag", "--order", "autoregressive")
    assert code == 2 and "does not generate autoregressively" in errors
    assert len(errors.splitlines()) == 1
