"""Plans: the role of each slot, what serves a task, and which combinations nothing serves."""

from pathlib import Path

import pytest

from ufc.tasks.describe import describe
from ufc.tasks.errors import InstructionError
from ufc.tasks.families import FAMILIES, make_plan
from ufc.tasks.grammar import parse
from ufc.tasks.mixture import builtin_tasks


def roles(text: str) -> dict[str, str]:
    return {part.name: part.role for part in make_plan(parse(text)).conditioning}


def test_which_family_serves_each_built_in_task() -> None:
    assert {name: task.plan.task for name, task in builtin_tasks().items()} == {
        "text-to-image": "image",
        "image-and-reference": "image",
        "inpainting": "image",
        "masked-image": "image",
        "autoregressive": "image",
        "captioning": "captioning",
        "captioning-zh": "captioning",
        "caption-infilling": "infilling",
        "text-alone": "infilling",
        "question-type": "question",
        "question-colour": "question",
        "question-gender": "question",
        "question-occasion": "question",
        "question-type-zh": "question",
        "question-colour-zh": "question",
        "question-gender-zh": "question",
        "question-occasion-zh": "question",
        "grounding": "grounding",
    }


def test_roles_of_images() -> None:
    assert roles("[TEXT:caption] [IMAGE:ref] [IMAGE:base] [IMAGE:two] -> [IMAGE:out]") == {
        "caption": "text",
        "ref": "reference 1",
        "base": "base",
        "two": "reference 2",
    }
    assert roles("[IMAGE:a] -> [IMAGE:a]") == {"a": "base"}
    assert roles("[IMAGE:a,use_mask] [IMAGE:b] -> [IMAGE:c]") == {"a": "base", "b": "reference 1"}
    assert roles("[IMAGE:a,mask_ratio=0.5] -> [IMAGE:c]") == {"a": "base"}
    assert roles("what? [IMAGE:base] -> [TEXT:c]") == {'"what?"': "text", "base": "picture"}


def test_roles_of_words() -> None:
    masked = make_plan(parse("[TEXT,mask_ratio=0.3] -> a photo of [TEXT]"))
    assert [part.role for part in masked.conditioning] == ["masked text"]
    assert [part.role for part in masked.targets] == ["prefix", "target"]
    assert masked.objective[0] == "text-targets"
    assert "in training 0.3 of its words masked" in masked.conditioning[0].mask


def test_order_chooses_objective_and_sampler() -> None:
    plan = make_plan(parse("[TEXT:a] -> [IMAGE:b,order=autoregressive]"))
    assert plan.objective[0] == "autoregressive" and plan.sampler.startswith("autoregressive")
    plan = make_plan(parse("[TEXT:a] -> [IMAGE:b,order=pnag]"))
    assert plan.objective[0] == "masked-codes" and plan.sampler.endswith("order pnag")


@pytest.mark.parametrize(
    "marked",
    [
        "[TEXT:a] -> ^[TEXT:b]",
        "[TEXT:a] -> ^[BOX:b]",
        "[IMAGE:a] -> ^[BOX:b]",
        "[IMAGE:a] [IMAGE:b] -> ^[TEXT:c]",
        "[IMAGE:a,use_mask] -> ^[TEXT:c]",
        "[IMAGE:a] [BOX:b] -> ^[TEXT:c]",
        "[TEXT:a] [BOX:b] -> ^[IMAGE:c]",
        "[TEXT:a] -> a picture: ^[IMAGE:c]",
        "[IMAGE:base] [IMAGE:b,use_mask] -> ^[IMAGE:c]",
        "[IMAGE:a] -> ^[CATEGORY:b]",
        "[TEXT:a] -> ^[TEXT:b,closed_set=type]",
        "[TEXT:a] -> [IMAGE:b] ^[TEXT:c]",
        "".join(f"[IMAGE:r{i}] " for i in range(8)) + "^[IMAGE:r8] -> [IMAGE:b]",
    ],
)
def test_what_nothing_serves_is_refused(marked: str) -> None:
    with pytest.raises(InstructionError) as caught:
        make_plan(parse(marked.replace("^", "")))
    assert caught.value.position == marked.index("^")


def test_a_refusal_lists_what_is_supported() -> None:
    with pytest.raises(InstructionError) as caught:
        make_plan(parse("[TEXT:a] -> [TEXT:b]"))
    assert caught.value.problem == "nothing here makes TEXT from TEXT"
    for family in FAMILIES:
        assert f"{family.name}: {family.shape}" in str(caught.value)


def test_a_plan_is_told() -> None:
    text = "[TEXT:caption,mask_ratio=0.3] [IMAGE:base] -> [IMAGE:out]"
    plan = make_plan(parse(text))
    said = describe(plan, {"caption": "red bag"})
    assert text in said and "caption = red bag (TEXT, text)" in said
    assert "used by training alone: mask_ratio of caption" in said
    assert "--mask-image" in said and "masked-codes" in said and "iterative refinement" in said
    data = plan.to_json()
    assert data["task"] == "image" and data["conditioning"][1]["role"] == "base"
    assert data["training_only"] == ["mask_ratio of caption"]


@pytest.mark.parametrize("name", builtin_tasks())
def test_every_built_in_plan_is_told(name: str) -> None:
    plan = builtin_tasks()[name].plan
    said = describe(plan)
    for part in (*plan.conditioning, *plan.targets):
        assert f"{part.name} ({part.kind}, {part.role})" in said


def test_the_page_of_instructions_is_true() -> None:
    page = (Path(__file__).parents[3] / "docs" / "instructions.md").read_text(encoding="utf-8")
    for name, task in builtin_tasks().items():
        assert f"| {name} | `{task.instruction}` |" in page
    plan = make_plan(parse("[TEXT:caption] [IMAGE:ref] [IMAGE:base] -> [IMAGE:out]"))
    assert describe(plan, {"caption": "red bag"}) in page
