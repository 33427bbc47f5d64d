"""The request inside the picture, in every format, without private paths."""

import io
import json
from dataclasses import replace

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ufc.io.png.block_record import BlockRecord, Origin
from ufc.io.png.metadata import Metadata, describe, read_metadata, save_options
from ufc.request import Reference, Request, RequestError, Result

REQUEST = Request(
    id="a",
    prompt='红色连衣裙 👗, "red": dress\nsecond line',
    negative_prompt="blurry, dark",
    reference_images=(Reference("/home/me/private/r.png", 0.5),),
    image="/home/me/private/i.png",
    preserve_blocks=(0, 1),
    seed=7,
    num_images_per_prompt=1,
    num_inference_steps=12,
    guidance_scale=3.0,
    order="pnag",
    output="sets/a.png",
)
RESULT = Result(
    "sets/a.png",
    status="done",
    seed=7,
    index=2,
    compliance=0.75,
    fidelity=0.5,
    seconds=1.25,
    steps=12,
    model="tiny",
    backend={"device": "cpu"},
    versions={"ufc": "0.1", "torch": "2"},
    group="abc-1",
)
HASHES = {"/home/me/private/r.png": "11" * 32, "/home/me/private/i.png": "22" * 32}
BLOCKS = BlockRecord(
    2, confidence=(1.0, 0.5, 0.25, 0.125), provenance=(Origin(True), Origin(False, 1, 0, 7)) * 2
)
CURVES = [{"step": 0, "compliance": 0.1, "fidelity": 0.2}]


def described() -> Metadata:
    return describe(REQUEST, RESULT, HASHES, (64, 64), curves=CURVES, blocks=BLOCKS)


def saved(metadata: Metadata | None, suffix: str) -> io.BytesIO:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, **save_options(metadata, suffix))
    file.seek(0)
    return file


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".webp", ".PNG"])
def test_read_back_what_was_written(suffix):
    metadata = described()
    assert read_metadata(saved(metadata, suffix)) == metadata


def test_what_is_told():
    payload = described().request
    assert payload["request"]["prompt"] == REQUEST.prompt
    assert payload["request"]["reference_images"] == [{"sha256": "11" * 32, "weight": 0.5}]
    assert payload["request"]["image"] == {"sha256": "22" * 32}
    assert payload["request"]["seed"] == 7 and payload["index"] == 2
    assert payload["compliance"] == 0.75 and payload["curves"] == CURVES
    assert payload["versions"] == {"ufc": "0.1", "torch": "2"}


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_no_paths_and_nothing_that_changes_between_equal_runs(suffix):
    data = saved(described(), suffix).getvalue()
    for private in ("private", "sets/", "abc-1", "1.25"):
        assert private.encode() not in data and private.encode("utf-16-be") not in data
    assert data == saved(described(), suffix).getvalue()


def test_widespread_parameters_form():
    lines = described().parameters.split("\n")
    assert lines[:3] == [*REQUEST.prompt.split("\n"), "Negative prompt: blurry, dark"]
    assert lines[3] == (
        "Steps: 12, Sampler: pnag, CFG scale: 3.0, Seed: 7, Size: 64x64, Model: tiny, "
        "Compliance: 0.75, Fidelity: 0.5, Version: ufc 0.1"
    )
    png = Image.open(saved(described(), ".png"))
    assert png.info["parameters"] == described().parameters
    assert json.loads(png.info["ufc_metadata"]) == described().request
    assert json.loads(png.info["ufc_blocks"]) == BLOCKS.to_json()


def test_blocks_that_do_not_fit_into_a_jpeg_are_left_out():
    large = BlockRecord(64, confidence=(0.123456,) * 64**2)
    metadata = describe(REQUEST, RESULT, HASHES, (64, 64), blocks=large)
    back = read_metadata(saved(metadata, ".jpg"))
    assert back.request == metadata.request and back.blocks is None
    assert read_metadata(saved(metadata, ".png")).blocks == large


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
@pytest.mark.parametrize("word", ["word ", "a👗"])  # cut within a surrogate pair, too
def test_prompts_that_do_not_fit_into_exif_are_cut(suffix, word):
    request = replace(REQUEST, prompt=word * 20_000)
    metadata = describe(request, RESULT, HASHES, (64, 64), blocks=BLOCKS)
    words, settings = read_metadata(saved(metadata, suffix)).parameters.split("\n")
    assert settings == metadata.parameters.split("\n")[-1] and "Seed: 7" in settings
    assert words.endswith("…") and len(words) > 15_000 and request.prompt.startswith(words[:-1])
    assert read_metadata(saved(metadata, ".png")) == metadata


def test_figures_that_are_no_numbers_are_left_empty():
    curves = [{"step": 1, "fidelity": float("nan"), "compliance": 0.123456789}]
    told = describe(REQUEST, RESULT, HASHES, (64, 64), curves=curves).request
    assert told["curves"] == [{"step": 1, "fidelity": None, "compliance": 0.123457}]


def test_pictures_that_say_nothing():
    for suffix in (".png", ".jpg", ".webp"):
        assert read_metadata(saved(None, suffix)) == Metadata()


def test_pictures_of_other_programs(tmp_path):
    info = PngInfo()
    info.add_text("parameters", "a cat\nSteps: 20")
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png", pnginfo=info)
    assert read_metadata(tmp_path / "a.png") == Metadata("a cat\nSteps: 20")


@pytest.mark.parametrize("text", ["{", "[1]", "[" * 100_000, '{"a": NaN}'])
def test_damaged_chunks_are_said_to_be(tmp_path, text):
    info = PngInfo()
    info.add_itxt("ufc_metadata", text)
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png", pnginfo=info)
    with pytest.raises(RequestError, match="its ufc_metadata is damaged"):
        read_metadata(tmp_path / "a.png")


def test_files_that_are_no_pictures(tmp_path):
    (tmp_path / "a.png").write_bytes(saved(described(), ".png").getvalue()[:-200])
    (tmp_path / "b.png").write_text("hello")
    for name, reason in [
        ("a.png", "cannot be read"),
        ("b.png", "not a picture"),
        ("c.png", "no such"),
    ]:
        with pytest.raises(RequestError, match=reason) as caught:
            read_metadata(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_unknown_formats():
    with pytest.raises(RequestError, match=r'got the format "\.bmp", wanted one of'):
        save_options(None, ".bmp")
