"""Prompt files: strict JSON lines, text with flags, manifests fed back."""

import json
from pathlib import Path

import pytest

from ufc.io.prompts_file import read_rows
from ufc.request import Reference, Request, RequestError


def write(folder: Path, text: str | bytes, name: str = "p.jsonl") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read_requests(path: Path) -> list[Request]:
    return [row.request for row in read_rows(path)]


def test_a_line_is_judged_with_what_is_filled_in(tmp_path):
    path = write(tmp_path, '{"prompt": "bag", "image": "a.png"}')
    with pytest.raises(RequestError, match="line 1: image: nothing says what to keep"):
        read_rows(path)
    (row,) = read_rows(path, Request(strength=0.5))
    assert row.request.strength is None  # a line as it stands
    empty = write(tmp_path, '{"id": "empty"}')
    with pytest.raises(RequestError, match="line 1: nothing says what to generate"):
        read_rows(empty)
    assert read_rows(empty, Request(reference_images=(Reference("b.png"),)))
    with pytest.raises(RequestError, match="line 1: strength: needs the image"):
        read_rows(write(tmp_path, '{"prompt": "bag"}'), Request(strength=0.5))


def test_json_lines(tmp_path):
    path = write(
        tmp_path, '\ufeff{"id": "a", "prompt": "红裙"}\n\n{"prompt": "coat\u2028x", "seed": 3}'
    )
    assert read_requests(path) == [
        Request(id="a", prompt="红裙"),
        Request(id="0003", prompt="coat\u2028x", seed=3),
    ]


def test_paths_are_resolved_from_the_file(tmp_path):
    line = {"image": "in/i.png", "mask_image": "/abs/m.png", "reference_images": ["../r.png"]}
    [request] = read_requests(write(tmp_path, json.dumps(line)))
    assert request.image == str(tmp_path / "in/i.png")
    assert request.mask_image == "/abs/m.png"
    assert request.reference_images == (Reference(str(tmp_path / "../r.png")),)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a red dress", "is not JSON"),
        ('{"prompt": "a"', "is not JSON"),
        ("[1]", "wanted a JSON object"),
        ('{"prompt": "a", "colour": 1}', "unknown field colour"),
        ('{"prompt": 5}', "wanted text"),
        ('{"prompt": "a", "prompt": "b"}', "field prompt twice"),
        ('{"prompt": "a", "guidance_scale": NaN}', "NaN is not a number"),
        ('{"prompt": "a", "seed": 1' + "0" * 5000 + "}", "is not JSON that can be read"),
        ("[" * 100_000, "is not JSON that can be read"),
        ('{"prompt": "a", "id": "../x"}', "would leave the output folder"),
        ('{"id": "a"}', "nothing says what to generate"),
        ('{"prompt": "a", "preserve_blocks": [1]}', "needs the image"),
        ('{"prompt": "a", "file_name": "a.png"}', "unknown field file_name"),
        ('{"prompt": "b", "id": "first"}', 'id "first" is used already (p.jsonl, line 1)'),
    ],
)
def test_bad_json_lines_are_named(tmp_path, line, message):
    path = write(tmp_path, '{"prompt": "ok", "id": "first"}\n\n' + line + "\n")
    with pytest.raises(RequestError) as caught:
        read_requests(path)
    text = str(caught.value)
    assert text.startswith("p.jsonl, line 3: ") and message in text
    assert "\n" not in text and len(text) < 600


def test_given_ids_may_not_meet_line_numbers(tmp_path):
    with pytest.raises(RequestError, match="used already"):
        read_requests(write(tmp_path, '{"prompt": "a", "id": "0002"}\n{"prompt": "b"}'))


def test_text_lines(tmp_path):
    text = """# a comment
a red dress
women's coat -- long --seed 4 --cfg_scale 3
--prompt "blue shirt" --negative_prompt dark blurry --steps 12 --n-iter=2 --seed -1
--prompt 黑色 鞋 --reference-image a.png --reference_image "b c.png" --order halton
"""
    requests = read_requests(write(tmp_path, text, "p.txt"))
    assert requests == [
        Request(id="0002", prompt="a red dress"),
        Request(id="0003", prompt="women's coat -- long", seed=4, guidance_scale=3.0),
        Request(
            id="0004",
            prompt="blue shirt",
            negative_prompt="dark blurry",
            num_inference_steps=12,
            num_images_per_prompt=2,
        ),
        Request(
            id="0005",
            prompt="黑色 鞋",
            reference_images=(
                Reference(str(tmp_path / "a.png")),
                Reference(str(tmp_path / "b c.png")),
            ),
            order="halton",
        ),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a dress --sed 3", "--sed is not a flag"),
        ("a dress --seed", "--seed has no value"),
        ("a dress --seed red", 'got "red", wanted a number'),
        ("a dress --seed 1 2", 'got "2", wanted a flag'),
        ("a dress --seed 1 --seed 2", "given twice"),
        ("a dress --prompt shoe", "given twice, or beside the prompt"),
        ('--prompt "a dress', "quotation marks"),
        ("a dress --steps 0", "wanted 1 to"),
        ("a dress --guidance-scale nan", "wanted 0 to 100"),
        ("--seed 3", "nothing says what to generate"),
        ("a dress --id ../x", "leave the output folder"),
        ("a dress --depth 64", "--depth is not a flag"),
        ("a dress --width 0", "width: got 0, wanted 1 to"),
    ],
)
def test_bad_text_lines_stop_before_drawing(tmp_path, line, message):
    with pytest.raises(RequestError) as caught:
        read_requests(write(tmp_path, "ok\n" + line, "p.txt"))
    assert str(caught.value).startswith("p.txt, line 2: ") and message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.csv", b"a", "ends in .jsonl or .txt"),
        ("p.txt", b"# nothing\n\n", "holds no prompts"),
        ("p.jsonl", b"", "holds no prompts"),
        ("p.jsonl", b'{"prompt": "a"}\n\xff\xfe', "line 2: is not UTF-8"),
    ],
)
def test_bad_files(tmp_path, name, content, message):
    with pytest.raises(RequestError, match=message):
        read_requests(write(tmp_path, content, name))


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(RequestError, match="no such prompts file"):
        read_requests(tmp_path / "gone.jsonl")
    (tmp_path / "d.txt").mkdir()
    with pytest.raises(RequestError, match="cannot be read"):
        read_requests(tmp_path / "d.txt")


def manifest_line(**change) -> str:
    row = {
        "id": "a",
        "prompt": "coat",
        "seed": 5,
        "file_name": "a-5-0.png",
        "status": "done",
        "index": 0,
        "compliance": 0.5,
        "group": "r-0",
        "versions": {"torch": "2"},
    }
    return json.dumps(row | change)


def test_manifest_lines_are_one_picture_each(tmp_path):
    lines = [
        manifest_line(status="pending"),
        manifest_line(seed=6, index=1, file_name="a-6-1.png", status="pending"),
        manifest_line(),
        '{"id": "a", "prom',  # the run was killed here
    ]
    rows = read_rows(write(tmp_path, "\n".join(lines)))
    assert [row.request for row in rows] == [
        Request(id="a", prompt="coat", seed=5),
        Request(id="a", prompt="coat", seed=6),
    ]
    assert [(row.result.status, row.result.index) for row in rows] == [("done", 0), ("pending", 1)]
    assert rows[0].result.group == "r-0"


def test_manifest_lines_and_prompts_may_not_share_ids(tmp_path):
    with pytest.raises(RequestError, match=r"line 1.*used already.*line 2"):
        read_rows(write(tmp_path, manifest_line() + '\n{"id": "a", "prompt": "hat"}'))


def test_bad_manifest_lines_are_named(tmp_path):
    for change, message in [({"index": "x"}, "index"), ({"colour": 1}, "colour")]:
        with pytest.raises(RequestError, match=f"line 1: .*{message}"):
            read_rows(write(tmp_path, manifest_line(**change)))
