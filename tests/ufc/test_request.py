"""Requests and results: strict JSON both ways, safe names, blocks."""

import json
import subprocess
import sys

import pytest

from ufc.request import Reference, Request, RequestError, Result, format_blocks, parse_blocks

FULL = {
    "id": "dress-1",
    "prompt": "红色连衣裙 👗 red dress",
    "negative_prompt": "blurry",
    "lang": "zh",
    "reference_images": ["a.png", {"path": "b.png", "weight": 0.5}],
    "image": "i.png",
    "preserve_blocks": [0, 1, 2, 60],
    "seed": 7,
    "num_images_per_prompt": 2,
    "num_inference_steps": 12,
    "guidance_scale": 3.5,
    "temperature": 1,
    "num_candidates": 4,
    "best_of": 2,
    "patience": 3,
    "time_budget": 2.5,
    "order": "mask-predict",
    "feather": 2,
    "output": "sets/one.png",
}


def test_json_round_trip():
    request = Request.from_json(FULL)
    assert request.to_json() == FULL
    assert Request.from_json(json.loads(json.dumps(request.to_json()))) == request


def test_only_what_is_said_is_written():
    assert Request(prompt="coat").to_json() == {"prompt": "coat"}
    assert Request.from_json({"prompt": "coat", "seed": None}) == Request(prompt="coat")


def test_numbers_as_ids_and_blocks_as_text():
    request = Request.from_json({"id": 15970, "image": "i.png", "preserve_blocks": "3-5, 1"})
    assert request.id == "15970" and request.preserve_blocks == (1, 3, 4, 5)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("prompt", 5, "prompt: got 5, wanted text"),
        ("prompt", ["a"], "got a list, wanted text"),
        ("prompt", "a\0b", "NUL"),
        ("prompt", "\ud800", "not valid Unicode"),
        ("lang", "fr", "wanted one of en, zh"),
        ("order", "random", "wanted one of pnag, maskgit, mask-predict, halton"),
        ("seed", "7", 'got the text "7", wanted a whole number'),
        ("seed", 7.0, "wanted a whole number"),
        ("seed", True, "got true, wanted a whole number"),
        ("seed", -1, "wanted 0 to"),
        ("seed", 2**63, "wanted 0 to"),
        pytest.param("seed", 10**5000, "a very large number", id="huge"),
        ("num_images_per_prompt", 0, "wanted 1 to"),
        ("num_inference_steps", 0, "wanted 1 to"),
        ("guidance_scale", "high", "wanted a number"),
        ("guidance_scale", float("nan"), "wanted 0 to 100"),
        ("guidance_scale", float("inf"), "wanted 0 to 100"),
        pytest.param("guidance_scale", 10**400, "wanted 0 to 100", id="overflow"),
        ("time_budget", 0, "wanted 0.001"),
        ("invert_mask", 1, "wanted true or false"),
        ("reference_images", "a.png", "wanted a list"),
        ("reference_images", [3], "got 3, wanted text"),
        ("reference_images", [{"weight": 1}], "has no path"),
        ("reference_images", [{"path": "a", "wait": 1}], "unknown field wait"),
        ("reference_images", [{"path": "a", "weight": 0}], "leave the reference out"),
        ("reference_images", [{"path": "a", "weight": -1}], "wanted 0 to 10"),
        ("preserve_blocks", 3, "wanted a list"),
        ("preserve_blocks", [1, "2"], "wanted a whole number"),
        ("preserve_blocks", [-1], "wanted 0 to"),
        ("preserve_blocks", [1], "needs the image"),
        ("mask_image", "m.png", "needs the image"),
        ("colour", "red", "unknown field colour in request; known are id, prompt"),
        ("output", "../a.png", "leave the output folder"),
        ("output", "/a.png", "leave the output folder"),
        ("output", "a/.b.png", "leave the output folder"),
        ("output", "a\\b.png", "leave the output folder"),
        ("output", "a.exe", "must end in"),
        ("output", "Grid.png", "written by the program itself"),
    ],
)
def test_bad_fields_are_named(field, value, message):
    with pytest.raises(RequestError) as caught:
        Request.from_json({field: value})
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "..",
        "../a",
        "a/../b",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "C:a",
        ".hidden",
        "a\nb",
        " a",
        "x" * 161,
        "a..b",
        "a\x1bb",
        "a*",
    ],
)
def test_unsafe_ids_are_refused(value):
    with pytest.raises(RequestError, match="id: "):
        Request(id=value)


@pytest.mark.parametrize("value", ["a", "2024.01-b_c", "红裙", "x y", "-"])
def test_safe_ids_are_taken(value):
    assert Request(id=value).id == value


def test_mask_and_blocks_exclude_each_other():
    with pytest.raises(RequestError, match="both"):
        Request(image="i.png", mask_image="m.png", preserve_blocks=(1,))


@pytest.mark.parametrize("value", [None, 3, "text", [1]])
def test_only_objects_are_requests(value):
    with pytest.raises(RequestError, match="wanted a JSON object"):
        Request.from_json(value)


def test_controls_are_needed():
    for request in (Request(), Request(prompt="  "), Request(negative_prompt="red")):
        with pytest.raises(RequestError, match="nothing says what to generate"):
            request.check_controls()
    Request(prompt="coat").check_controls()
    Request(reference_images=(Reference("a.png"),)).check_controls()
    Request(image="i.png", preserve_blocks=(0,)).check_controls()
    Request(image="i.png", strength=0.5).check_controls()
    with pytest.raises(RequestError, match="nothing says what to keep"):
        Request(image="i.png").check_controls()


def test_blocks_are_checked_against_the_grid():
    request = Request(image="i.png", preserve_blocks=(0, 64))
    with pytest.raises(RequestError, match="64 out of range, wanted 0 to 63"):
        request.check_blocks(64)
    request.check_blocks(65)
    with pytest.raises(RequestError, match="all 65 blocks are kept"):
        Request(image="i.png", preserve_blocks=tuple(range(65))).check_blocks(65)


def test_seeds_of_later_pictures_exist():
    with pytest.raises(RequestError, match="leaves no seeds"):
        Request(seed=2**63 - 1, num_images_per_prompt=2)


def test_blocks_as_text():
    assert parse_blocks("0-3,60", 64) == (0, 1, 2, 3, 60)
    assert parse_blocks(" 5 - 6 , 5，1") == (1, 5, 6)
    for blocks in [(), (0,), (1, 2, 3), (0, 2, 4, 5, 9)]:
        assert not blocks or parse_blocks(format_blocks(blocks)) == blocks
    assert format_blocks([60, 0, 1, 2, 1]) == "0-2,60"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "wanted numbers and ranges"),
        ("a", "wanted numbers and ranges"),
        ("1,,2", "wanted numbers and ranges"),
        ("-1", "wanted numbers and ranges"),
        ("5-3", "runs backwards"),
        ("0-64", "64 out of range, wanted 0 to 63"),
        ("0-999999999", "out of range"),
    ],
)
def test_bad_blocks_as_text(text, message):
    with pytest.raises(RequestError, match=message):
        parse_blocks(text, 64)


def test_result_round_trip():
    result = Result(
        "a-1-0.png",
        status="done",
        seed=1,
        compliance=0.5,
        fidelity=0.25,
        seconds=0.1,
        steps=12,
        model="m",
        backend={"device": "cpu"},
        versions={"torch": "2"},
        group="x-0",
        notices=("prompt shortened",),
    )
    assert Result.from_json(json.loads(json.dumps(result.to_json()))) == result


@pytest.mark.parametrize(
    "change",
    [
        {"status": "maybe"},
        {"file_name": "../a.png"},
        {"file_name": None},
        {"seed": "1"},
        {"index": -1},
        {"compliance": "good"},
        {"backend": 3},
        {"notices": "one"},
        {"notices": [1]},
        {"extra": 1},
    ],
)
def test_bad_results_are_refused(change):
    with pytest.raises(RequestError):
        Result.from_json({"file_name": "a.png", "status": "done"} | change)


def test_needs_neither_torch_nor_pillow():
    imports = "import sys, ufc.request, ufc.io.prompts_file"
    code = f"{imports}; assert not {{'torch', 'PIL'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
