"""What visitors bring: pictures with colour profiles, of either program, and crafted ones."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from picture_files import encode, icc_chunk, noise, swapped_profile, with_chunks
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from studio_helpers import begin, draw, mark
from test_studio import model, pixels, png, studio

from ufc.io.png.metadata import Metadata, read_metadata, save_options
from ufc.pipeline import UFCPipeline
from ufc.token_confidence import differing_blocks
from ufc_base.images import ImageError, load_image, load_original
from webui.drawing.layers import labels, layer
from webui.sessions import derived, exports, state, uploads
from webui.sessions.state import RefusedError, Settings
from webui.sessions.studio import Studio
from webui.strings import speak

__all__ = ["model", "studio"]  # fixtures

OWN = noise(16, 16, seed=5)
SAY = speak("en")


def profiled_png() -> bytes:
    return encode(OWN, icc_profile=swapped_profile())


def test_an_upload_is_edited_from_its_own_pixels(studio: Studio) -> None:
    key = begin(studio)
    own = Image.new("RGB", (16, 8), (200, 30, 90))
    assert uploads.upload(studio, key, png(own)) is None
    placed = studio.store.load(key).current
    assert placed is not None
    assert (placed.kind, placed.codes) == ("upload", None)
    mark(studio, key, 5, 6)
    edited = draw(studio, key)
    assert set(differing_blocks(pixels(studio, key, placed), pixels(studio, key, edited), 4)) <= {
        5,
        6,
    }
    details = studio.store.read_details(key, edited.id)
    assert details["origin"][0] == {"picture": placed.id, "kind": "upload"}
    assert details["confidence"][0] is None


def test_what_was_decoded_once_is_checked(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    key = begin(studio)
    uploads.upload(studio, key, png(OWN))
    mark(studio, key, 5, 6)
    again = lambda *_: pytest.fail("the picture was decoded again")  # noqa: E731
    monkeypatch.setattr(studio.loaded.pipe, "decode_pil", again)
    audit = studio.store.read_details(key, draw(studio, key).id)["audit"]
    assert audit["changed"] == [] and audit["hard_to_code"]  # noise is hard to code


def test_a_picture_of_ours_brings_its_request_and_its_codes(studio: Studio) -> None:
    key = begin(studio, seed=9)
    first = draw(studio, key)
    data = studio.store.read(key, first.file)
    other = begin(studio, prompt="")
    request = uploads.upload(studio, other, data)
    assert request is not None
    assert state.from_request(Settings(), request).prompt == "men's blue shirt"
    again = studio.store.load(other).current
    assert again is not None
    assert again.codes == first.codes
    image = pixels(studio, key, first)
    touched = Image.open(io.BytesIO(data))
    touched.putpixel((0, 0), (1, 2, 3))
    info = read_metadata(io.BytesIO(data))
    stream = io.BytesIO()
    touched.save(stream, **save_options(info, ".png"))
    uploads.upload(studio, other, stream.getvalue())
    current = studio.store.load(other).current
    assert current is not None
    assert current.codes is None  # its pixels are not those of its codes any more
    assert image.size == (16, 16)


def test_an_edit_of_ours_is_drawn_again_from_its_own_file(studio: Studio) -> None:
    key = begin(studio, seed=9)
    uploads.add_reference(studio, key, png(Image.new("RGB", (16, 16), "red")), "red.png")
    draw(studio, key)
    mark(studio, key, 0, 1)
    edited = draw(studio, key)
    data = studio.store.read(key, edited.file)
    mark(studio, key, 9)
    (item,) = studio.store.load(key).references
    studio.store.update(key, lambda s: state.remove_reference(s, item.file))
    request = uploads.upload(studio, key, data)
    assert request is not None
    assert studio.store.load(key).view.marks == (0, 1)
    assert uploads.find_references(studio, key, request) == 0
    assert [found.file for found in studio.store.load(key).references] == [item.file]
    assert draw(studio, key).codes == edited.codes
    other = begin(studio)
    assert uploads.find_references(studio, other, request) == 1
    assert (
        uploads.find_references(studio, other, {"reference_images": [{"sha256": "../.."}, 3]}) == 2
    )


@pytest.mark.parametrize(
    "data", [b"", b"not a picture", png(Image.effect_noise((64, 64), 90))[:900]]
)
def test_bad_uploads_are_refused_with_a_plain_word(studio: Studio, data: bytes) -> None:
    key = begin(studio)
    before = studio.store.load(key)
    for take in (
        lambda: uploads.upload(studio, key, data),
        lambda: uploads.add_reference(studio, key, data, "x.png"),
        lambda: uploads.upload_mask(studio, key, data),
    ):
        with pytest.raises(ImageError) as error:
            take()
        assert "\n" not in str(error.value)
    assert studio.store.load(key) == before


def test_too_large_an_upload_is_not_even_opened(studio: Studio) -> None:
    with pytest.raises(RefusedError, match="at most 32 MB"):
        uploads.open_upload(studio, b"0" * (33 * 2**20))


def test_masks_go_in_and_out(studio: Studio) -> None:
    key = begin(studio)
    draw(studio, key)
    with pytest.raises(RefusedError, match="nothing in it is white"):
        uploads.upload_mask(studio, key, png(Image.new("L", (16, 16), 0)))
    mark(studio, key, 2, 7)
    mask = uploads.mask(studio, key)
    mark(studio, key)
    uploads.upload_mask(studio, key, mask)
    assert studio.store.load(key).view.marks == (2, 7)


def test_an_upload_keeps_its_colours_and_its_profile(studio: Studio, pipeline: UFCPipeline) -> None:
    key = begin(studio, seed=7)
    uploads.upload(studio, key, profiled_png())
    mark(studio, key, 0, 1, 2, 3)
    edited = draw(studio, key)
    home = studio.store.read(key, edited.file)  # what the download button gives
    taken = load_original(home)
    assert taken.info == {"icc_profile": swapped_profile()}
    assert np.array_equal(np.asarray(taken)[4:], np.asarray(OWN)[4:])
    audit = studio.store.read_details(key, edited.id)["audit"]
    assert (audit["kept"], audit["changed"]) == (12, [])
    plain = begin(studio, seed=7)
    uploads.upload(studio, plain, png(load_image(profiled_png())))
    mark(studio, plain, 0, 1, 2, 3)
    again = draw(studio, plain)
    assert again.codes == edited.codes
    drawn = np.asarray(load_image(studio.store.read(plain, again.file)), int)[:4]
    assert np.abs(np.asarray(load_image(home), int)[:4] - drawn).max() <= 3
    assert uploads.upload(studio, key, home) is not None
    current = studio.store.load(key).current
    assert current is not None and current.codes == edited.codes


def test_what_is_made_of_such_pictures_has_their_colours(studio: Studio) -> None:
    key = begin(studio)
    uploads.upload(studio, key, profiled_png())
    own = studio.store.load(key).current
    assert own is not None
    mark(studio, key, 0, 1, 2, 3)
    edited = draw(studio, key)
    derived.continue_from(studio, key, edited.id, 0)
    step = studio.store.load(key).current
    assert step is not None
    taken = studio.store.open_picture(key, step.file)
    assert taken.info == {"icc_profile": swapped_profile()}
    assert np.array_equal(np.asarray(taken)[4:], np.asarray(OWN)[4:])
    uploads.upload(studio, key, png(Image.new("RGB", (16, 16), (200, 0, 0))))
    mark(studio, key, 15)
    derived.cross(studio, key, own.id)
    both = studio.store.load(key).current
    assert both is not None
    seen = np.asarray(studio.store.open_picture(key, both.file), int)
    assert seen[0, 0].tolist() == [200, 0, 0]
    assert np.abs(seen[12:, 12:] - np.asarray(OWN, int)[12:, 12:, ::-1]).max() <= 2


def test_references_come_in_srgb(studio: Studio) -> None:
    key = begin(studio)
    uploads.add_reference(studio, key, profiled_png(), "caf\udce9.png")
    (item,) = studio.store.load(key).references
    stored = studio.store.open_picture(key, item.file)
    assert stored.info == {} and stored.tobytes() == load_image(profiled_png()).tobytes()
    assert "\udce9" not in item.name


def test_a_long_profile_comes_in_and_out_again(studio: Studio) -> None:
    key = begin(studio)
    profile = swapped_profile()
    long = (1_100_000).to_bytes(4) + profile[4:] + bytes(1_100_000 - len(profile))
    uploads.upload(studio, key, with_chunks(encode(OWN), icc_chunk(long)))
    mark(studio, key, 0)
    edited = draw(studio, key)
    assert len(studio.store.open_picture(key, edited.file).info["icc_profile"]) == 1_100_000
    assert exports.sheet(studio, key, [edited])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_uploads_are_turned_once(studio: Studio, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(OWN, exif=exif.tobytes())
    key = begin(studio)
    uploads.upload(studio, key, data)
    current = studio.store.load(key).current
    assert current is not None
    stored = studio.store.open_picture(key, current.file)
    assert stored.tobytes() == load_image(data).tobytes()
    mark(studio, key, 0)
    edited = studio.store.open_picture(key, draw(studio, key).file)
    assert np.array_equal(np.asarray(edited)[4:], np.asarray(stored)[4:])


def test_0_1_masks_are_understood(studio: Studio) -> None:
    key = begin(studio)
    uploads.upload(studio, key, png(OWN))
    mask = np.zeros((16, 16), np.uint8)
    mask[:4, :8] = 1
    uploads.upload_mask(studio, key, png(Image.fromarray(mask)))
    assert studio.store.load(key).view.marks == (0, 1)
    with pytest.raises(ValueError, match="nothing in this mask is white"):
        uploads.upload_mask(studio, key, png(Image.fromarray(mask * 9)))


# Stories of blocks


def rows(studio: Studio, key: str) -> list[dict[str, Any]]:
    """The page's table of the picture on the canvas, and its labels, which must not fail."""
    from webui.page.shelf.check import table

    current = studio.store.load(key).current
    assert current is not None
    details = studio.store.read_details(key, current.id)
    for name in ("confidence", "origin"):
        assert len(layer(name, details, current.id, SAY).colours) in (0, 16)
    assert len(labels(details, current.id, 4, SAY)) == 16
    return table(SimpleNamespace(say=SAY), current, details) if details else []  # type: ignore[arg-type]


def test_a_picture_of_the_command_line_brings_its_story(
    studio: Studio, ufc: Any, photo: Path
) -> None:
    pytest.importorskip("streamlit")
    code, _, err = ufc("edit", "--image", photo, "--preserve-blocks", "0-7", "--prompt", "bag",
                       "--seed", 9)  # fmt: skip
    assert code == 0, err
    key = begin(studio)
    uploads.upload(studio, key, Path("out/bag-9-0.png").read_bytes())
    told = rows(studio, key)
    origins = [row[SAY("column_origin")] for row in told]
    assert origins == ["yours (1)"] * 8 + ["sampled, seed 9"] * 8
    assert all(row[SAY("column_step")] in ("1", "2") for row in told[8:])
    assert all(row[SAY("column_confidence")] for row in told[8:])


def test_both_programs_write_one_form(studio: Studio, ufc: Any) -> None:
    assert ufc("generate", "--prompt", "bag", "--seed", 9)[0] == 0
    key = begin(studio)
    edited = draw(studio, key)
    with (
        Image.open("out/bag-9-0.png") as one,
        Image.open(studio.store.path(key, edited.file)) as two,
    ):
        forms = [json.loads(image.info["ufc_blocks"]) for image in (one, two)]
    assert [set(form) for form in forms] == [set(forms[0])] * 2
    assert [form["format"] for form in forms] == [2, 2]
    assert [len(form["confidence"]) for form in forms] == [16, 16]
    names = {"kept", "step", "candidate", "seed"}
    assert all(names <= set(entry) <= names | {"picture"}
               for form in forms for entry in form["provenance"])  # fmt: skip


CRAFTED = [
    {"provenance": [{"picture": "x"}] * 16},
    {"provenance": [{"picture": "0001", "step": "<b>", "candidate": 0}] * 16},
    {"provenance": [3] * 16},
    {"provenance": [{}] * 16, "confidence": None},
    {"provenance": [{"kept": False, "step": 0}] * 16},
    {"confidence": ["a"] * 16},
    {"codes": [10**9] * 16},
    {"grid": 10**9},
    {"format": 99},
]


@pytest.mark.parametrize("changes", CRAFTED)
def test_crafted_stories_make_no_page_fail(studio: Studio, changes: dict[str, Any]) -> None:
    pytest.importorskip("streamlit")
    key = begin(studio)
    first = draw(studio, key)
    with Image.open(io.BytesIO(studio.store.read(key, first.file))) as image:
        image.load()
        info = PngInfo()
        told = json.loads(image.info["ufc_blocks"]) | changes
        info.add_itxt("ufc_blocks", json.dumps(told))
        info.add_itxt("ufc_metadata", '{"request": {"seed": -3, "preserve_blocks": [[1]]}}')
        stream = io.BytesIO()
        image.save(stream, "PNG", pnginfo=info)
    uploads.upload(studio, key, stream.getvalue())
    current = studio.store.load(key).current
    assert current is not None and current.kind == "upload"
    rows(studio, key)
    mark(studio, key, 0)
    draw(studio, key)
    rows(studio, key)


def test_what_cannot_be_written_again_does_not_refuse_the_picture(studio: Studio) -> None:
    key = begin(studio)
    first = draw(studio, key)
    said = read_metadata(studio.store.path(key, first.file))
    for request in ('{"a": 1e999}', '{"a": "\\ud800"}', '{"a": ' + "[" * 900 + "]" * 900 + "}"):
        options = save_options(Metadata(blocks=said.blocks), ".png")
        options["pnginfo"].add_itxt("ufc_metadata", request)
        stream = io.BytesIO()
        studio.store.open_picture(key, first.file).save(stream, **options)
        assert uploads.upload(studio, key, stream.getvalue()) is None
