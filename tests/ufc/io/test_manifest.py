"""Pictures written whole or not at all, manifests that survive a kill, sheets and pages."""

import errno
import json
import os
import weakref
from pathlib import Path

import pytest
from PIL import Image

from ufc.io import contact_sheet as contact_sheets
from ufc.io.batch_plan import (
    form_batches,
    name_from_prompt,
    plan,
    random_seed,
    with_defaults,
    with_model_defaults,
)
from ufc.io.contact_sheet import contact_sheet, write_sheet
from ufc.io.manifest import (
    Manifest,
    log_page,
    open_folder,
    read_manifest,
    refuse_changed,
    refuse_existing,
    save_picture,
    write_atomically,
    write_json,
    write_log,
)
from ufc.request import Request, RequestError, Result, Row
from ufc_base.images import ImageError


def picture(colour: str = "red") -> Image.Image:
    return Image.new("RGB", (8, 8), colour)


# ── files ──


@pytest.mark.parametrize("name", ["a.png", "b.jpg", "c.webp", "sub/d.png", "红.png"])
def test_pictures_are_written_whole(tmp_path, name):
    save_picture(picture(), tmp_path / name, None)
    with Image.open(tmp_path / name) as read:
        assert read.size == (8, 8)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / name]


def test_never_overwritten_silently(tmp_path):
    save_picture(picture("red"), tmp_path / "a.png", None)
    with pytest.raises(FileExistsError, match="exists already"):
        save_picture(picture("blue"), tmp_path / "a.png", None)
    save_picture(picture("blue"), tmp_path / "a.png", None, overwrite=True)
    with Image.open(tmp_path / "a.png") as read:
        assert read.getpixel((0, 0)) == (0, 0, 255)


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path):
    (tmp_path / "a").write_bytes(b"old")

    def fail(file):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_atomically(tmp_path / "a", fail)
    assert os.listdir(tmp_path) == ["a"] and (tmp_path / "a").read_bytes() == b"old"


def test_json_is_written_whole(tmp_path):
    write_json(tmp_path / "new/a.json", {"name": "红"})
    with pytest.raises(TypeError):
        write_json(tmp_path / "new/a.json", {"name": "blue", "figures": object()})
    assert json.loads((tmp_path / "new/a.json").read_text(encoding="utf-8")) == {"name": "红"}
    assert os.listdir(tmp_path / "new") == ["a.json"]


def test_output_folder(tmp_path):
    assert open_folder(tmp_path / "x/y").is_dir()
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file/below"):
        with pytest.raises(RequestError, match="is a file, wanted a folder"):
            open_folder(path)


def test_existing_pictures_are_named_with_the_remedies(tmp_path):
    refuse_existing(tmp_path, ["a.png", "b.png"])
    (tmp_path / "a.png").touch()
    (tmp_path / "b.png").touch()
    with pytest.raises(RequestError, match=r"a\.png: exists already and 1 more; add --resume"):
        refuse_existing(tmp_path, ["a.png", "b.png"])


# ── manifest ──


def row(name: str, status: str = "pending", **more) -> dict:
    return {"id": "a", "file_name": name, "status": status, **more}


def test_manifest_from_pending_to_done(tmp_path):
    manifest = Manifest(tmp_path)
    manifest.begin([row("a.png"), row("b.png")])
    assert [r["status"] for r in read_manifest(manifest.path).values()] == ["pending", "pending"]
    manifest.record(row("a.png", "done", prompt="红"))
    assert len(manifest.path.read_text().splitlines()) == 3
    assert [r["status"] for r in read_manifest(manifest.path).values()] == ["done", "pending"]
    manifest.close()
    lines = [json.loads(line) for line in manifest.path.read_text().splitlines()]
    assert lines == [row("a.png", "done", prompt="红"), row("b.png")]


def test_a_line_torn_by_a_kill_is_passed_over(tmp_path):
    manifest = Manifest(tmp_path)
    manifest.begin([row("a.png"), row("b.png")])
    manifest.record(row("a.png", "done"))
    with open(manifest.path, "ab") as file:
        file.write(b'{"id": "a", "file_na')
    again = Manifest(tmp_path)
    again.begin([row("c.png")])
    assert [*read_manifest(again.path)] == ["a.png", "b.png", "c.png"]
    assert again.path.read_bytes().endswith(b"}\n")


def test_runs_into_one_folder_share_the_manifest(tmp_path):
    first, second = Manifest(tmp_path), Manifest(tmp_path)
    first.begin([row("a.png")])
    second.begin([row("b.png")])
    first.record(row("a.png", "done"))
    second.record(row("b.png", "done"))
    first.close()
    second.close()
    assert {name: r["status"] for name, r in read_manifest(first.path).items()} == {
        "a.png": "done",
        "b.png": "done",
    }


@pytest.mark.parametrize("line", ["hello", "[1]", '{"a": 1}', '{"file_name": ["x"]}'])
def test_files_that_are_no_manifest_are_left_alone(tmp_path, line):
    path = tmp_path / "manifest.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(RequestError, match="line 1: is not a manifest line"):
        Manifest(tmp_path)
    assert path.read_text() == line + "\n"


def test_changed_requests_are_not_resumed(tmp_path):
    weights = {"versions": {"weights": "w1"}}
    manifest = Manifest(tmp_path)
    manifest.begin([row("a.png", "done", prompt="x", **weights), row("b.png", prompt="x")])
    fields = ("id", "prompt")
    refuse_changed(tmp_path, [row("a.png", prompt="x", **weights)], fields)
    refuse_changed(tmp_path, [row("b.png", prompt="y"), row("c.png", prompt="z")], fields)
    with pytest.raises(RequestError, match="other values of prompt"):
        refuse_changed(tmp_path, [row("a.png", prompt="y", **weights)], fields)
    with pytest.raises(RequestError, match="the model's weights"):
        refuse_changed(tmp_path, [row("a.png", prompt="x", versions={"weights": "w2"})], fields)
    refuse_changed(tmp_path, [row("a.png", prompt="x", inputs="1", **weights)], fields)
    manifest.record(row("a.png", "done", prompt="x", inputs="1", **weights))
    refuse_changed(tmp_path, [row("a.png", prompt="x", inputs="1", **weights)], fields)
    with pytest.raises(RequestError, match="the contents of its input files"):
        refuse_changed(tmp_path, [row("a.png", prompt="x", inputs="2", **weights)], fields)


# ── jobs ──


def rows(*requests: Request) -> list[Row]:
    return [Row(request, f"line {n}") for n, request in enumerate(requests, 1)]


def test_names_and_seeds():
    jobs = plan(rows(Request(id="a", seed=5, num_images_per_prompt=2), Request(id="b", seed=0)))
    assert [job.picture.file_name for job in jobs] == ["a-5-0.png", "a-6-1.png", "b-0-0.png"]
    assert [job.request.seed for job in jobs] == [5, 6, 0]
    assert {job.request.num_images_per_prompt for job in jobs} == {1}


def test_random_seeds_are_drawn_or_found_again():
    [job] = plan(rows(Request(id="a")), new_seed=lambda: 9)
    assert job.picture.file_name == "a-9-0.png"
    [job] = plan(rows(Request(id="a")), known_seeds={"a": 4}, new_seed=lambda: 9)
    assert job.picture.file_name == "a-4-0.png"
    assert 0 <= random_seed() < 2**32


def test_own_names_and_formats():
    request = Request(id="a", seed=1, output="sets/one.jpg", num_images_per_prompt=2)
    jobs = plan(rows(request, Request(id="b", seed=1)), suffix=".webp")
    assert [job.picture.file_name for job in jobs] == [
        "sets/one-0.jpg",
        "sets/one-1.jpg",
        "b-1-0.webp",
    ]
    assert jobs[1].request.output == "sets/one-1.jpg"


def test_names_may_not_meet():
    clash = [Request(id="a", seed=1), Request(id="b", seed=1, output="A-1-0.png")]
    with pytest.raises(RequestError, match=r"line 2: its picture .*line 1"):
        plan(rows(*clash))


def test_manifest_lines_keep_names_and_groups():
    result = Result("a-6-1.jpg", status="done", seed=6, index=1, group="r-0")
    manifest_row = Row(Request(id="a", seed=6), "line 1", result)
    [job] = plan([manifest_row])
    assert job.picture == Result("a-6-1.jpg", seed=6, index=1, group="r-0")
    assert job.request.seed == 6
    assert plan([manifest_row], suffix=".png")[0].picture.file_name == "a-6-1.png"


def test_batches_share_a_recipe():
    requests = [Request(id=str(n), seed=n) for n in range(5)]
    requests[3] = Request(id="3", seed=3, guidance_scale=1.0)
    jobs = plan(rows(*requests))
    assert [len(batch) for batch in form_batches(jobs, 2)] == [2, 1, 1, 1]
    assert [len(batch) for batch in form_batches(jobs, None)] == [1] * 5


def test_recorded_groups_are_formed_again():
    results = [Result(f"{n}.png", index=0, group=f"r-{n // 3}") for n in range(5)]
    told = [Row(Request(id=str(n), seed=n), "", result) for n, result in enumerate(results)]
    assert [len(batch) for batch in form_batches(plan(told), None)] == [3, 2]
    assert [len(batch) for batch in form_batches(plan(told), 4)] == [4, 1]


def test_defaults_fill_what_is_open():
    defaults = Request(prompt="x", seed=1, guidance_scale=2.0, image="d.png", preserve_blocks=(1,))
    own = Request(id="a", prompt="y", image="i.png", mask_image="m.png")
    filled = with_defaults(own, defaults)
    assert (filled.prompt, filled.seed, filled.guidance_scale) == ("y", 1, 2.0)
    assert (filled.image, filled.mask_image, filled.preserve_blocks) == ("i.png", "m.png", None)
    assert with_defaults(Request(id="b"), defaults).preserve_blocks == (1,)
    chat = Request(prompt="bag", expand_prompt="ours")
    assert with_defaults(Request(prompt="hat"), chat).expand_prompt == "ours"
    assert with_defaults(Request(prompt="hat", expand_prompt="own"), chat).expand_prompt == "own"
    [job] = plan(rows(Request(id="a", seed=1, order="halton")))
    recipe = {"order": "pnag", "num_inference_steps": 8, "compliance_weight": 0.5}
    request = with_model_defaults(job, recipe).request
    assert (request.order, request.num_inference_steps) == ("halton", 8)


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("A red dress!", "a-red-dress"),
        ("红色 连衣裙", "红色-连衣裙"),
        ("../../etc/passwd", "etc-passwd"),
        ("👗", "picture"),
        (None, "picture"),
        ("long " * 50, ("long-" * 10)[:48].strip("-")),
    ],
)
def test_names_from_prompts(prompt, name):
    assert name_from_prompt(prompt) == name
    Request(id=name)


# ── looking at them ──


def test_contact_sheet():
    sheet = contact_sheet([picture("red"), picture("blue"), picture("lime")])
    assert sheet.size == (22, 22)
    assert sheet.getpixel((3, 3)) == (255, 0, 0) and sheet.getpixel((13, 3)) == (0, 0, 255)
    assert sheet.getpixel((3, 13)) == (0, 255, 0) and sheet.getpixel((13, 13)) == (255, 255, 255)
    assert contact_sheet([picture()] * 3, columns=8).size == (32, 12)
    with pytest.raises(ValueError, match="no picture"):
        contact_sheet([])


def test_sheet_of_a_folder(tmp_path):
    assert write_sheet(tmp_path, ["gone.png"]) is None
    picture().save(tmp_path / "a.png")
    assert write_sheet(tmp_path, ["a.png", "gone.png"]) == tmp_path / "grid.png"


def test_one_picture_of_a_sheet_is_opened_at_a_time(tmp_path, monkeypatch):
    names = [f"{number}.png" for number in range(9)]
    for number, name in enumerate(names):
        Image.new("RGB", (300, 200 + number), "red").save(tmp_path / name)
    expected = contact_sheet([Image.open(tmp_path / name) for name in names])
    opened, most, real = [], 0, contact_sheets.load_image

    def load(path):
        nonlocal most
        image = real(path)
        opened.append(weakref.ref(image))
        most = max(most, sum(one() is not None for one in opened))
        return image

    monkeypatch.setattr(contact_sheets, "load_image", load)
    write_sheet(tmp_path, names)
    assert most == 2  # the last one is let go when the next is there
    assert Image.open(tmp_path / "grid.png").tobytes() == expected.tobytes()


def test_a_sheet_names_the_picture_that_cannot_be_read(tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(ImageError, match=r"a\.png"):
        write_sheet(tmp_path, ["a.png"])


def test_log_page_escapes_what_it_shows(tmp_path):
    page = log_page(
        [
            row("a b#1.png", "done", prompt="<script>alert(1)</script>", compliance=0.123456),
            row("b.png", "failed", error='"><img onerror=x>'),
        ]
    )
    assert "<script>" not in page and "<img onerror" not in page
    assert 'src="a%20b%231.png"' in page and "0.123" in page and 'class="failed"' in page
    assert write_log(tmp_path, []).read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(("side", "fast"), [(100, False), (1500, True)])
def test_photographs_are_compressed_less_and_come_back_whole(
    side: int, fast: bool, tmp_path: Path
) -> None:
    image = Image.effect_noise((side, side), 40).convert("RGB")
    save_picture(image, tmp_path / "a.png", None)
    data = (tmp_path / "a.png").read_bytes()
    header = data[data.index(b"IDAT") + 4 :][:2]
    assert (header[1] >> 6 == 0) == fast  # zlib's own word for its fastest levels
    with Image.open(tmp_path / "a.png") as back:
        assert back.tobytes() == image.tobytes()
