"""Photographs are edited at their own size; nothing of them is lost."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import picture
from PIL import Image
from toy_upscaler import toy_upscaler

from ufc.conditioning.edits.original_size import prepare
from ufc.io.png.metadata import read_metadata
from ufc.requests.loading import ModelSettings
from webui.drawing.blocks import invert
from webui.sessions import derived, exports, state, uploads
from webui.sessions.generating.part_view import PartView, kept_blocks
from webui.sessions.state import Picture
from webui.sessions.studio import Studio

SIZE = (96, 64)  # of the photograph; the model has 16 x 16


@pytest.fixture(scope="module")
def studio(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Studio:
    return Studio(tmp_path_factory.mktemp("out"), ModelSettings(str(model)))


def jpeg(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=95)
    return stream.getvalue()


def begin(studio: Studio, data: bytes) -> str:
    key = studio.begin()
    settle = {"prompt": "bag", "steps": 2, "seed": 3, "seed_locked": True}
    studio.store.update(key, lambda s: replace(s, settings=replace(s.settings, **settle)))
    uploads.upload(studio, key, data)
    return key


def draw(studio: Studio, key: str) -> Picture:
    studio.generate(key)
    progress = studio.worker.wait(key, 60)
    assert progress is not None
    assert progress.error is None
    current = studio.store.load(key).current
    assert current is not None
    return current


def pixels(studio: Studio, key: str, name: str) -> np.ndarray:
    return np.asarray(studio.store.open_picture(key, name).convert("RGB"))


def test_an_upload_is_kept_as_it_came(studio: Studio) -> None:
    data = jpeg(picture(1, SIZE))
    key = begin(studio, data)
    current = studio.store.load(key).current
    assert current is not None
    assert current.full == "originals/0001.jpg"
    assert studio.store.read(key, current.full) == data
    assert current.size == SIZE
    assert studio.store.open_picture(key, current.file).size == (16, 16)


def test_a_small_upload_is_what_the_canvas_has(studio: Studio) -> None:
    key = begin(studio, jpeg(picture(1, (12, 16))))
    current = studio.store.load(key).current
    assert current is not None
    assert current.full is None


def test_an_edit_has_the_photographs_size_and_every_other_pixel(studio: Studio) -> None:
    key = begin(studio, jpeg(picture(1, SIZE)))
    before = studio.store.load(key).current
    assert before is not None and before.full is not None
    change = (5, 6)
    studio.store.update(key, lambda s: state.mark(s, change))
    request = studio.request(studio.store.load(key))
    assert (request.image, request.original_size) == (before.full, True)
    after = draw(studio, key)
    assert after.full == "originals/0002.png"
    assert after.size == SIZE
    assert after.kept == invert(change, (4, 4))
    old, new = pixels(studio, key, before.full), pixels(studio, key, after.full)
    frame = studio.frame_of(after)
    photograph = prepare(Image.fromarray(old), None, after.kept, studio.frames)
    changed = np.zeros(old.shape[:2], bool)
    left, upper, right, lower = photograph.box
    changed[upper:lower, left:right] = np.asarray(photograph.changed) > 0
    assert (old[~changed] == new[~changed]).all()
    assert (old[changed] != new[changed]).any()
    details = studio.store.read_details(key, after.id)
    assert details["audit"]["changed"] == []
    assert details["audit"]["sha256_before"] == details["audit"]["sha256_after"]
    assert [block for block, story in enumerate(details["origin"]) if "step" in story] == [5, 6]
    assert studio.store.open_picture(key, after.file).size == frame.size[::-1]
    said = read_metadata(studio.store.path(key, after.full)).request
    assert said is not None
    assert said["request"]["original_size"] is True


def test_an_edit_of_an_edit_goes_on_from_all_pixels(studio: Studio) -> None:
    key = begin(studio, jpeg(picture(1, SIZE)))
    studio.store.update(key, lambda s: state.mark(s, (5,)))
    one = draw(studio, key)
    studio.store.update(key, lambda s: state.mark(s, (10,)))
    two = draw(studio, key)
    assert one.full and two.full and two.parent == one.id
    details = studio.store.read_details(key, two.id)
    assert details["origin"][5]["picture"] == one.id
    assert details["origin"][10]["picture"] == two.id
    names = exports.archive(studio, key, studio.store.load(key).pictures)
    import zipfile

    with zipfile.ZipFile(io.BytesIO(names)) as archive:
        assert {"originals/0001.jpg", one.full, two.full} <= set(archive.namelist())
        assert len(archive.read("manifest.jsonl").splitlines()) == 2


def test_all_of_it_anew_is_a_picture_of_the_model(studio: Studio) -> None:
    key = begin(studio, jpeg(picture(1, SIZE)))
    made = draw(studio, key)
    assert made.full is None
    assert studio.store.open_picture(key, made.file).size == (16, 16)


def test_a_repair_of_a_photograph_keeps_its_size(studio: Studio) -> None:
    key = begin(studio, jpeg(picture(1, SIZE)))
    studio.repair(key, 3)
    progress = studio.worker.wait(key, 60)
    assert progress is not None and progress.error is None
    assert studio.store.load(key).pictures[-1].size == SIZE


def test_a_photograph_is_extended_without_words(studio: Studio) -> None:
    key = begin(studio, jpeg(picture(1, SIZE)))
    studio.store.update(key, lambda s: replace(s, settings=replace(s.settings, prompt="")))
    studio.extend(key, (0, 1, 0, 0))
    progress = studio.worker.wait(key, 60)
    assert progress is not None and progress.error is None
    before, after = studio.store.load(key).pictures
    assert before.full and after.full and after.size is not None
    assert after.size[0] > SIZE[0] and after.size[1] == SIZE[1]
    old, new = pixels(studio, key, before.full), pixels(studio, key, after.full)
    assert (new[:, : SIZE[0]] == old).all()


def test_photographs_are_not_joined_at_the_models_size(studio: Studio) -> None:
    key = begin(studio, jpeg(picture(1, SIZE)))
    uploads.upload(studio, key, jpeg(picture(2, SIZE)))
    studio.store.update(key, lambda s: state.mark(s, (5,)))
    with pytest.raises(ValueError, match="a size of its own"):
        derived.cross(studio, key, "0001")
    assert len(studio.store.load(key).pictures) == 2


def test_a_photograph_that_is_gone_is_left_out(studio: Studio) -> None:
    key = begin(studio, jpeg(picture(1, SIZE)))
    studio.store.path(key, "originals/0001.jpg").unlink()
    assert studio.leave_out_missing(key) == 1
    assert studio.store.load(key).current is None


def test_blocks_of_the_part_are_told_by_those_of_the_canvas(studio: Studio) -> None:
    original = picture(1, (64, 64))
    photograph = prepare(original, None, invert((5,), (4, 4)), studio.frames)
    assert photograph.box == (8, 8, 40, 40)  # twice as wide and high as the block at 16
    canvas = studio.frames.choose(original.size)
    view = PartView(photograph, canvas, studio.frames.choose(photograph.part.size))
    told = view.on_canvas(list(range(16)), -1)
    assert told[5] == 10  # its centre, 24, is at the middle of the part
    assert told[0] == 0
    assert told[15] == -1
    shown = np.asarray(view.preview(Image.new("RGB", (16, 16), "red")))
    side = shown.shape[0] // 4
    assert (shown[side + 2 : 2 * side - 2, side + 2 : 2 * side - 2] == (255, 0, 0)).all()
    assert (shown[: side - 1, : side - 1] != (255, 0, 0)).any()


def test_blocks_with_nothing_new_are_kept(studio: Studio) -> None:
    mask = Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 64, 17))
    assert kept_blocks(mask, studio.frames.choose(mask.size)) == tuple(range(8, 16))


def test_a_picture_is_exported_larger_where_the_model_can(model: Path, tmp_path: Path) -> None:
    studio = Studio(tmp_path / "out", ModelSettings(str(model)))
    key = begin(studio, jpeg(picture(1, (16, 16))))
    current = studio.store.load(key).current
    assert current is not None
    assert not exports.can_be_enlarged(studio, current)
    studio.loaded.pipe.upscaler = toy_upscaler()
    assert exports.can_be_enlarged(studio, current)
    large = Image.open(io.BytesIO(exports.enlarged(studio, key, current)))
    assert large.size == (32, 32)
