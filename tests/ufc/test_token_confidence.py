"""Doubt, block by block, and what a picture's codes cannot show."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from ufc.pipeline import UFCPipeline
from ufc.token_confidence import assess, block_errors, chequers, differing_blocks, weakest


def test_every_block_is_asked_once_with_its_neighbours_known() -> None:
    black, white = chequers(4, 4)
    assert (black ^ white).all()
    grid = black.view(4, 4)
    assert not (grid[:, 1:] & grid[:, :-1]).any()
    assert not (grid[1:] & grid[:-1]).any()


def test_a_block_that_was_exchanged_is_doubted_otherwise(pipeline: UFCPipeline) -> None:
    codes = pipeline("men's blue shirt", seed=1, temperature=0).codes[0].tolist()
    before = assess(pipeline, codes, "men's blue shirt")
    assert len(before.confidence) == 16
    assert all(0 <= value <= 1 for value in before.confidence)
    assert before.compliance is not None
    assert 0 <= before.fidelity <= 1
    changed = [*codes]
    changed[5] = (codes[5] + 1) % 16
    assert assess(pipeline, changed, "men's blue shirt").confidence != before.confidence
    assert assess(pipeline, codes).compliance is None


def test_the_scores_are_those_of_the_pipeline(pipeline: UFCPipeline) -> None:
    out = pipeline("men's blue shirt", seed=1)
    found = assess(pipeline, out.codes[0].tolist(), "men's blue shirt")
    assert found.fidelity == pytest.approx(out.fidelity[0], abs=1e-5)
    assert found.compliance == pytest.approx(out.compliance[0], abs=1e-5)


def test_the_weakest_blocks() -> None:
    assert weakest([0.9, 0.1, 0.5, 0.1], 2) == (1, 3)
    assert weakest([0.9, 0.1], 5) == (0, 1)
    assert weakest([0.3], 0) == ()


def test_differences_are_found_in_their_blocks() -> None:
    one = Image.new("RGB", (16, 16), "white")
    other = one.copy()
    other.putpixel((5, 9), (254, 255, 255))
    other.paste((0, 0, 0), (12, 12, 16, 16))
    assert differing_blocks(one, other, 4) == (9, 15)
    errors = block_errors(one, other, 4)
    assert errors[15] == 1.0
    assert 0 < errors[9] < 0.01
    assert errors[0] == 0
    with pytest.raises(ValueError, match="one size"):
        block_errors(one, other.resize((8, 8)), 4)


def test_codes_of_an_earlier_call_are_kept_and_nothing_is_encoded(
    pipeline: UFCPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = pipeline("men's blue shirt", seed=1)
    monkeypatch.setattr(pipeline.tokenizer, "encode", lambda *_: pytest.fail("was encoded"))
    keep = [0, 1, 4, 5, 10]
    again = pipeline(
        "bag", image=first.images[0], codes=first.codes[0], preserve_blocks=keep, seed=2
    )
    assert torch.equal(again.codes[0][keep], first.codes[0][keep])
    changed = differing_blocks(first.images[0], again.images[0], 4)
    assert not set(changed) & set(keep)
    alone = pipeline("bag", codes=first.codes[0].tolist(), preserve_blocks=keep, seed=2)
    assert torch.equal(alone.codes, again.codes)
    pair = pipeline("bag", codes=[first.codes[0], None], preserve_blocks=[keep, None], seed=[2, 3])
    assert torch.equal(pair.codes[0][keep], first.codes[0][keep])


@pytest.mark.parametrize(
    ("codes", "message"),
    [([1, 2], "16 of a whole grid"), ([99] * 16, "another model"), ([-1] * 16, "another model")],
)
def test_codes_that_do_not_fit(pipeline: UFCPipeline, codes: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pipeline("bag", codes=codes, preserve_blocks=[0])


def test_codes_need_blocks_to_keep(pipeline: UFCPipeline) -> None:
    with pytest.raises(ValueError, match="preserve_blocks"):
        pipeline("bag", codes=[0] * 16)


def test_steps_can_be_scored_without_changing_the_picture(pipeline: UFCPipeline) -> None:
    seen = []

    def watch(pipe: UFCPipeline, step: int, timestep: int, state: dict) -> None:
        seen.append((state["compliance"], tuple(state["filled_step"].shape)))

    plain = pipeline("bag", seed=1, num_inference_steps=4, callback_on_step_end=watch)
    assert [compliance for compliance, _ in seen] == [None] * 4
    assert len(plain.curves[0]) == 1
    watched = pipeline(
        "bag", seed=1, num_inference_steps=4, score_steps=True, callback_on_step_end=watch
    )
    assert torch.equal(plain.codes, watched.codes)
    assert [point["step"] for point in watched.curves[0]] == [0, 1, 2, 3]
    assert watched.fidelity[0] == pytest.approx(plain.fidelity[0], abs=1e-5)
    assert seen[-1][0] is not None
    assert seen[-1][1] == (1, 16)


def test_a_preview_has_the_kept_pixels_in_it(pipeline: UFCPipeline) -> None:
    base = Image.new("RGB", (16, 16), (10, 200, 30))
    previews = []

    def watch(pipe: UFCPipeline, step: int, timestep: int, state: dict) -> None:
        previews.append(state["image"]()[0])

    pipeline("bag", image=base, preserve_blocks=[0, 3], seed=1, callback_on_step_end=watch)
    assert not {0, 3} & set(differing_blocks(previews[0], base, 4))
