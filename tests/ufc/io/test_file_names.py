"""File names: those of any system are read, and those that some system lacks are not made."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from cli_helpers import manifest, one_line, write
from picture_files import encode, noise

from ufc.io.batch_plan import name_from_prompt, plan
from ufc.io.manifest import place_inside
from ufc.io.prompts_file import read_rows
from ufc.io.validation import RequestError
from ufc.request import Request, Row
from ufc_base.data.datasets import DataError, open_dataset
from ufc_base.data.records import parse_record

LATIN = os.fsdecode(b"caf\xe9.png")


@pytest.mark.parametrize(
    "name", ["CON", "nul", "Aux.b", "com1", "LPT9.x", "conin$", "com²", "dir.", "a ", " a", "a."]
)
def test_names_that_windows_lacks(name):
    with pytest.raises(RequestError, match="id: "):
        Request(id=name)
    for output in (f"{name}/a.png", f"{name}.png" if name[-1] not in ". " else f"x/{name}/a.png"):
        if name.strip(". ") == name or "/" in output:
            with pytest.raises(RequestError, match="bad file name"):
                Request(output=output)


@pytest.mark.parametrize("name", ["console", "nulls", "com10", "a.con", "aux-1", "commode"])
def test_names_that_only_look_like_it(name):
    assert Request(id=name, output=f"{name}/{name}.png").id == name


def test_names_that_are_too_long():
    with pytest.raises(RequestError, match="bad file name"):
        Request(output="é" * 126 + ".png")
    with pytest.raises(RequestError, match="1 to 160 bytes"):
        Request(id="é" * 81)
    whole = plan([Row(Request(id="é" * 80, seed=2**63 - 10_000, num_images_per_prompt=10_000), "")])
    assert max(len(job.picture.file_name.encode()) for job in whole) <= 255


def test_prompts_make_names_of_any_system():
    assert name_from_prompt("Con") == "picture-con" and name_from_prompt("nul!") == "picture-nul"
    assert name_from_prompt("...") == "picture" and name_from_prompt("red bag.") == "red-bag"
    for prompt in ("CON", "aux", "COM1", "…", "a" * 500, "女" * 200):
        Request(id=name_from_prompt(prompt))


@pytest.mark.parametrize(
    "outputs",
    [("A.png", "a.PNG"), ("caf\xe9.png", "cafe\u0301.png"), ("x/STRASSE.png", "x/straße.png")],
)
def test_names_that_are_one_on_some_system(outputs):
    rows = [Row(Request(id=str(i), seed=1, output=name), str(i)) for i, name in enumerate(outputs)]
    with pytest.raises(RequestError, match="would have the name of another"):
        plan(rows)


def test_a_picture_in_a_folder_with_the_name_of_a_picture():
    rows = [Row(Request(id=str(i), seed=1, output=name), f"line {i}")
            for i, name in enumerate(("A.png/b.png", "a.png"))]  # fmt: skip
    with pytest.raises(RequestError, match=r"line 0: .* folder that has the name of another"):
        plan(rows)


@pytest.mark.skipif(os.name == "nt", reason="links need a right of their own there")
@pytest.mark.parametrize("more", [(), ("--dry-run",), ("--overwrite",)])
def test_links_do_not_lead_out_of_the_output_folder(ufc, tmp_path: Path, more: tuple[str, ...]):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "own").mkdir(parents=True)
    (tmp_path / "out" / "sub").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "out" / "inside").symlink_to(tmp_path / "out" / "own")
    rows = [{"prompt": "bag", "seed": 1, "output": name} for name in ("inside/a.png", "sub/a.png")]
    file = write(tmp_path / "p.jsonl", *rows)
    code, _, err = ufc("generate", "--prompts-file", file, *more)
    assert code == 2 and one_line(err)
    assert "sub/a.png: would be written to" in err and "outside of the output folder" in err
    assert not list((tmp_path / "elsewhere").iterdir()) and not list(tmp_path.rglob("*.png"))
    file = write(tmp_path / "p.jsonl", rows[0])
    assert ufc("generate", "--prompts-file", file, *more)[0] == 0
    assert (tmp_path / "out" / "own" / "a.png").is_file() == (more != ("--dry-run",))


def test_a_link_that_comes_while_pictures_are_made(tmp_path: Path):
    (tmp_path / "out").mkdir()
    assert place_inside(tmp_path / "out", "sub/a.png") == tmp_path / "out" / "sub" / "a.png"
    try:
        (tmp_path / "out" / "sub").symlink_to(tmp_path)
    except OSError:
        pytest.skip("links need a right of their own here")
    with pytest.raises(RequestError, match="outside of the output folder"):
        place_inside(tmp_path / "out", "sub/a.png")


@pytest.mark.skipif(os.name == "nt", reason="names are not bytes there")
def test_file_names_that_are_not_utf8(ufc, tmp_path: Path):
    try:
        Path(LATIN).write_bytes(encode(noise()))
    except OSError:
        pytest.skip("this disk takes UTF-8 names alone")
    edit = ("edit", "--image", LATIN, "--preserve-blocks", "0-7", "--prompt", "bag", "--seed", 1)
    code, _, err = ufc(*edit, "--reference-image", LATIN)
    assert code == 0, err
    (row,) = manifest()
    assert row["image"] == f"../{LATIN}" and row["status"] == "done"
    code, _, err = ufc("generate", "--prompts-file", "out/manifest.jsonl", output_dir="again")
    assert code == 0, err
    one, two = (Path(folder, "bag-1-0.png").read_bytes() for folder in ("out", "again"))
    assert one == two
    Path(LATIN).write_text("no picture")
    code, _, err = ufc(*edit, output_dir="bad")
    assert code == 2 and one_line(err) and "not a picture" in err


def test_paths_that_can_be_none(tmp_path: Path):
    with pytest.raises(RequestError, match=r"image: .* cannot be the name of a file here"):
        Request(image="\ud800.png", preserve_blocks=(1,))
    with pytest.raises(RequestError, match="NUL"):
        Request(image="a\0.png", preserve_blocks=(1,))


def test_half_a_character_among_many_prompts(tmp_path: Path):
    lines = [json.dumps({"id": str(n), "prompt": "bag"}) for n in range(3000)]
    lines[1999] = '{"id": "x", "prompt": "bag \\ud83d"}'
    file = write(tmp_path / "p.jsonl", *lines)
    with pytest.raises(RequestError, match=r"p.jsonl, line 2000: prompt: .* not valid Unicode"):
        read_rows(file)


def test_half_a_character_among_many_captions(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(encode(noise()))
    lines = [json.dumps({"file_name": "a.png", "text": "包 👗"}) for _ in range(3000)]
    write(tmp_path / "metadata.jsonl", *lines)
    assert len(open_dataset(tmp_path)) == 3000
    lines[1999] = '{"file_name": "a.png", "captions": ["bag", "bag \\ud83d"]}'
    file = write(tmp_path / "metadata.jsonl", *lines)
    with pytest.raises(DataError, match=rf"{file}, line 2000: half a character, \\ud83d"):
        open_dataset(tmp_path)
    file.write_bytes("\n".join(lines[:5]).encode() + b'\n{"file_name": "caf\xe9"}')
    with pytest.raises(DataError, match="line 6: is not UTF-8"):
        open_dataset(tmp_path)


def test_half_a_character_in_a_shard():
    assert parse_record({"json": b'{"text": "\\ud83d\\udc57"}'}) == {"text": "👗"}
    with pytest.raises(DataError, match="half a character"):
        parse_record({"json": b'{"text": "\\ud83d"}'})


def test_folders_deeper_than_windows_used_to_allow(ufc, tmp_path: Path):
    deep = Path(*["f" * 60] * 8)  # with the rest beyond 260 characters
    code, _, err = ufc("generate", "--prompt", "bag", "--seed", 1, output_dir=deep)
    assert code == 0, err
    (row,) = manifest(deep)
    assert (deep / row["file_name"]).is_file()
    assert ufc("generate", "--prompt", "bag", "--seed", 1, "--resume", output_dir=deep)[0] == 0


@pytest.mark.skipif(os.name == "nt", reason="the limits are others there")
@pytest.mark.parametrize("folder", [Path("f" * 300), Path(*["f" * 200] * 25)])
def test_folders_that_no_disk_takes(ufc, folder: Path):
    code, _, err = ufc("generate", "--prompt", "bag", output_dir=folder)
    assert code in (1, 2)
    assert "Traceback" not in err and "too long" in err
