"""`ufc run` makes what the flags of generate and edit make, and refuses what does not fit."""

import json

import pytest
from cli_helpers import manifest, one_line, pictures
from PIL import Image

from ufc.cli.main import main


@pytest.fixture
def mask(tmp_path):
    image = Image.new("L", (16, 16))
    image.paste(255, (0, 0, 8, 16))
    image.save(tmp_path / "mask.png")
    return tmp_path / "mask.png"


def test_words_and_references_as_generate_has_them(ufc, photo):
    code, _, err = ufc(
        *("run", "a [TEXT:caption], new [IMAGE:ref] -> [IMAGE:out]", "--seed", 3),
        *("--slot", "caption=red bag", "--slot", f"ref={photo}"),
    )
    assert code == 0, err
    again = ("--prompt", "a red bag, new", "--reference-image", photo, "--seed", 3)
    assert ufc("generate", *again, output_dir="again")[0] == 0
    assert pictures() == pictures("again")
    [row] = manifest()
    assert row["prompt"] == "a red bag, new" and row["reference_images"] == ["../photo.png"]


def test_a_base_as_edit_has_it(ufc, photo, mask):
    instruction = "[TEXT:caption] [IMAGE:ref] [IMAGE:base] -> [IMAGE:out]"
    slots = ("--slot", "caption=red bag", "--slot", f"ref={photo}", "--slot", f"base={photo}")
    code, _, err = ufc("run", instruction, *slots, "--mask-image", mask, "--seed", 3)
    assert code == 0, err
    flags = ("--prompt", "red bag", "--reference-image", photo, "--image", photo)
    assert ufc("edit", *flags, "--mask-image", mask, "--seed", 3, output_dir="again")[0] == 0
    assert pictures() == pictures("again")


def test_a_built_in_task_by_its_name(ufc, photo):
    code, _, err = ufc("run", "text-to-image", "--slot", "caption=red bag", "--seed", 3)
    assert code == 0 and list(pictures()) == ["red-bag-3-0.png"], err
    blocks = ("--slot", f"picture={photo}", "--preserve-blocks", "0-3", "--seed", 3)
    code, _, err = ufc("run", "masked-image", *blocks, output_dir="masked")
    assert code == 0 and "mask_ratio of picture: training alone uses it" in err


def test_the_order_of_the_target(ufc):
    instruction = "[TEXT:a] -> [IMAGE:b,order=halton]"
    assert ufc("run", instruction, "--slot", "a=bag", "--seed", 3)[0] == 0
    assert manifest()[0]["order"] == "halton"
    code, _, err = ufc("run", instruction, "--slot", "a=bag", "--order", "pnag")
    assert code == 2 and "the instruction says order=halton" in err and one_line(err)


def test_blocks_are_added_to_a_base_as_edit_adds_them(ufc, photo):
    arguments = ("--outpaint", "0,1,0,1", "--seed", 3)
    slots = ("--slot", "caption=bag", "--slot", f"base={photo}")
    code, _, err = ufc("run", "inpainting", *slots, *arguments)
    assert code == 0, err
    flags = ("--prompt", "bag", "--image", photo)
    assert ufc("edit", *flags, *arguments, output_dir="again")[0] == 0
    assert pictures() == pictures("again")


def test_a_plan_is_shown_and_nothing_done(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    instruction = "[TEXT:caption] [IMAGE:base] -> [IMAGE:out]"
    assert main(["run", instruction, "--plan", "--slot", "caption=red bag"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"instruction   {instruction}\n") and "caption = red bag" in out
    assert main(["run", "grounding", "--plan", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["task"] == "grounding"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("instruction", "arguments", "message"),
    [
        ("text-to-image", (), "nothing is given for caption (words); add --slot caption="),
        ("text-to-image", ("caption",), "wanted NAME=VALUE"),
        ("text-to-image", ("=red",), "wanted NAME=VALUE"),
        ("text-to-image", ("caption= ",), "--slot caption: is empty"),
        ("text-to-image", ("caption=a", "caption=b"), "--slot caption: is given twice"),
        ("text-to-image", ("caption=a", "ref=b.png"), "no such slot; those to give are: caption"),
        ("text-to-image", ("caption=a", "picture=b.png"), "is what the instruction makes"),
        ("text-to-image", ("caption=photo.png",), "is a TEXT, and photo.png is a picture file"),
        ("captioning", ("picture=red bag",), 'is an IMAGE, and there is no file "red bag"'),
        ("captioning", ("picture=photo.png",), "does not know the task captioning"),
        ("grounding", ("word=bag", "picture=photo.png"), "does not know the task grounding"),
        ("inpainting", ("caption=a", "base=photo.png"), "give --mask-image or --preserve-blocks"),
    ],
)
def test_slots_that_do_not_fit(ufc, photo, instruction, arguments, message):
    code, out, err = ufc("run", instruction, *(w for one in arguments for w in ("--slot", one)))
    assert (code, out) == (2, "") and message in err and one_line(err), err
    assert not pictures()


def test_a_mask_without_a_base(ufc, mask):
    code, _, err = ufc("run", "text-to-image", "--slot", "caption=a", "--mask-image", mask)
    assert code == 2 and "--mask-image: the instruction has no image to keep parts of" in err


def test_carets_are_printed_under_the_place(capsys):
    assert main(["run", "[TEXT:a,maskratio=3] -> [IMAGE:b]"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "  [TEXT:a,maskratio=3] -> [IMAGE:b]"
    assert lines[1] == "          ^^^^^^^^^"
    assert lines[2].startswith("ufc: instruction, character 9: ") and len(lines) == 3
