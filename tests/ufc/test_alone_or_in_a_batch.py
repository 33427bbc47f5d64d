"""The same picture alone or in a batch: in fp32 as it is, in every precision with `deterministic`.

bf16 and int8 do not keep it by themselves, which is no fault: a product of another shape rounds
otherwise, and int8 by the range of all that is multiplied together.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from conftest import make_pipeline, picture

from ufc.model.quantisation import Int8Linear
from ufc.pipeline import UFCPipeline
from ufc.pipeline_output import PipelineOutput
from ufc.sampling.apart import join_predicts, one_by_one, spans
from ufc.sampling.selection.rerankers import Reranker

PROMPTS = ["men's blue shirt", "bag", "男士黑色手表"]
NEGATIVES = ["red", None, "white shirt with stripes"]
REFERENCES = [[], [picture(1), picture(2)], [picture(3)]]

CASES: dict[str, dict[str, Any]] = {
    "guidance": {"guidance_scale": 3.0},
    "no guidance": {"guidance_scale": 1.0},
    "candidates": {"order": "pnag", "num_candidates": 3},
    "drafts": {"best_of": 2, "num_candidates": 2, "patience": 1},
}


def draw(pipe: UFCPipeline, rows: list[int], **settings: Any) -> PipelineOutput:
    return pipe(
        [PROMPTS[row] for row in rows],
        negative_prompt=[NEGATIVES[row] for row in rows],
        reference_images=[REFERENCES[row] for row in rows],
        seed=[row + 1 for row in rows],
        num_inference_steps=3,
        **settings,
    )


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", ["fp32", "bf16", "int8", "fp16"])
def test_deterministic_is_bit_for_bit_the_same(dtype: str, case: str) -> None:
    pipe = make_pipeline().to("cpu", dtype, deterministic=True)
    batch = draw(pipe, [0, 1, 2], **CASES[case])
    for row in range(3):
        alone = draw(pipe, [row], **CASES[case])
        assert torch.equal(alone.codes[0], batch.codes[row])
        assert (alone.confidence[0] == batch.confidence[row]).all()
        assert alone.images[0].tobytes() == batch.images[row].tobytes()
        assert alone.compliance[0] == batch.compliance[row]
        assert alone.fidelity[0] == batch.fidelity[row]
        assert alone.steps[0] == batch.steps[row]


@pytest.mark.parametrize("case", CASES)
def test_fp32_keeps_it_without(case: str) -> None:
    pipe = make_pipeline().to("cpu", "fp32")
    batch = draw(pipe, [0, 1, 2], **CASES[case])
    for row in range(3):
        alone = draw(pipe, [row], **CASES[case])
        assert torch.equal(alone.codes[0], batch.codes[row])
        assert alone.compliance[0] == pytest.approx(batch.compliance[row], abs=1e-5)


def test_a_layer_in_int8_rounds_by_its_company() -> None:
    """Why int8 needs `deterministic`."""
    torch.manual_seed(0)
    layer, x = Int8Linear(torch.nn.Linear(16, 8)), torch.randn(2, 16)
    x[1] *= 10
    with torch.no_grad():
        assert not torch.equal(layer(x)[0], layer(x[:1])[0])
        assert torch.equal(layer(x), layer(x))


def test_the_reranker_sees_one_image_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[list[int]] = []

    def voice(pixels: torch.Tensor, owner: torch.Tensor) -> torch.Tensor:
        heard.append(owner.tolist())
        return torch.zeros(len(owner))

    judge = Reranker("voice", 0.5, voice, torch.ones(2, dtype=torch.bool))
    monkeypatch.setattr(UFCPipeline, "rerankers", lambda *_: [judge])
    draw(make_pipeline().to(deterministic=True), [0, 1], num_candidates=2, order="pnag")
    assert heard and all(len(set(owners)) == 1 for owners in heard)
    assert {owners[0] for owners in heard} == {0, 1}


def test_moving_keeps_it_until_it_is_asked_for_otherwise() -> None:
    pipe = make_pipeline().to(deterministic=True)
    assert pipe.to("cpu").deterministic and not torch.are_deterministic_algorithms_enabled()
    assert not pipe.to(deterministic=False).deterministic


def test_functions_are_joined_by_who_owns_a_canvas() -> None:
    owner = torch.tensor([1, 1, 3])
    assert list(spans(owner)) == [(1, slice(0, 2)), (3, slice(2, 3))]
    codes, ask = torch.arange(6).view(3, 2), torch.ones(3, 2, dtype=torch.bool)
    rows = [lambda c, o, a, n=n: c.flatten().float() * 10**n + o.sum() for n in range(4)]
    joined = join_predicts(rows)(codes, owner, ask)  # type: ignore[arg-type]
    assert joined.tolist() == [0, 10, 20, 30, 4000, 5000]
    score = one_by_one(lambda c, o: {"compliance": o.float() + len(o)})
    assert score(codes, owner)["compliance"].tolist() == [3, 3, 4]
