"""Sessions with a model of 24 x 16 pixels, and pictures of other shapes in them."""

from __future__ import annotations

import io
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import picture
from PIL import Image
from shapes import portrait_pipeline

from ufc.io.png.metadata import read_metadata
from ufc.requests.loading import ModelSettings
from ufc.token_confidence import differing_blocks
from webui.drawing import blocks
from webui.drawing.layers import labels
from webui.sessions import derived, state, uploads
from webui.sessions.generating.film import png_bytes
from webui.sessions.generating.generation import GenerationJob
from webui.sessions.generating.worker import Ticket
from webui.sessions.state import Session
from webui.sessions.studio import Studio
from webui.strings import speak


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "portrait"
    portrait_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def studio(model: Path, tmp_path: Path) -> Studio:
    return Studio(tmp_path / "out", ModelSettings(str(model)))


def begin(studio: Studio) -> str:
    key = studio.begin()

    def settle(session: Session) -> Session:
        settings = replace(session.settings, prompt="bag", steps=2, seed=1)
        return replace(session, settings=settings)

    studio.store.update(key, settle)
    return key


def draw(studio: Studio, key: str) -> state.Picture:
    studio.generate(key)
    return finished(studio, key)


def finished(studio: Studio, key: str) -> state.Picture:
    progress = studio.worker.wait(key, 60.0)
    assert progress is not None
    assert (progress.state, progress.error) == ("done", None)
    current = studio.store.load(key).current
    assert current is not None
    return current


def image(studio: Studio, key: str, drawn: state.Picture) -> Image.Image:
    return studio.store.open_picture(key, drawn.file)


def test_a_drawing_has_the_models_shape_and_an_edit_keeps_its_blocks(studio: Studio) -> None:
    key = begin(studio)
    first = draw(studio, key)
    assert first.grid == (6, 4) and image(studio, key, first).size == (16, 24)
    studio.store.update(key, lambda s: state.mark_to_change(s, (0, 1, 22, 23), (6, 4)))
    second = draw(studio, key)
    changed = differing_blocks(image(studio, key, first), image(studio, key, second), (6, 4))
    assert set(changed) <= {0, 1, 22, 23} and second.kept == tuple(range(2, 22))
    audit = studio.store.read_details(key, second.id)["audit"]
    assert audit["kept"] == 20 and audit["changed"] == []
    assert Image.open(io.BytesIO(uploads.mask(studio, key))).size == (16, 24)


def test_an_upload_of_another_shape_is_drawn_in_its_own(studio: Studio) -> None:
    key = begin(studio)
    uploads.upload(studio, key, png_bytes(picture(1, (24, 16))))
    upload = studio.store.load(key).current
    assert upload is not None and upload.grid == (4, 6)
    mask = Image.new("L", (24, 16), 0)
    mask.paste(255, (20, 12, 24, 16))
    uploads.upload_mask(studio, key, png_bytes(mask))
    assert studio.store.load(key).view.marks == (23,)
    drawn = draw(studio, key)
    assert drawn.grid == (4, 6) and (drawn.request["height"], drawn.request["width"]) == (16, 24)
    pair = [np.asarray(image(studio, key, item)) for item in (upload, drawn)]
    assert (pair[0][:12] == pair[1][:12]).all()
    found = read_metadata(io.BytesIO(studio.store.read(key, drawn.file)))
    assert found.blocks is not None and found.blocks.grid == (4, 6)
    # Taken home and brought back, it has its codes and its shape again.
    uploads.upload(studio, key, studio.store.read(key, drawn.file))
    back = studio.store.load(key).current
    assert back is not None and back.codes == drawn.codes and back.grid == (4, 6)
    studio.repair(key, 3)
    finished(studio, key)
    derived.find_weakest(studio, key, 2)
    assert len(studio.store.load(key).view.marks) in (2, 22)
    step = derived.step_image(studio, key, drawn, 0)
    assert step.size == (24, 16)
    derived.continue_from(studio, key, drawn.id, 0)
    taken = studio.store.load(key).current
    assert taken is not None and taken.grid == (4, 6)


def test_marks_do_not_pass_to_a_picture_of_another_shape(studio: Studio) -> None:
    key = begin(studio)
    first = draw(studio, key)
    studio.store.update(key, lambda s: state.mark(s, (1, 2)))
    uploads.upload(studio, key, png_bytes(picture(1, (300, 200))))
    studio.store.update(key, lambda s: state.mark(s, (5,)))
    studio.store.update(key, lambda s: state.show(s, first.id))
    session = studio.store.load(key)
    assert session.view.marks == ()
    assert state.undo(session).view.marks == (5,)
    with pytest.raises(ValueError, match="Mark the blocks"):
        derived.cross(studio, key, first.id)
    other = session.pictures[1]
    studio.store.update(key, lambda s: state.mark(s, (1, 2)))
    with pytest.raises(ValueError, match="different shapes"):
        derived.cross(studio, key, other.id)


@pytest.mark.parametrize("earlier", [True, False])
def test_marks_are_not_those_of_a_picture_of_another_shape_that_came_meanwhile(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, earlier: bool
) -> None:
    key = begin(studio)
    if earlier:
        draw(studio, key)
    go, at_work, films = threading.Event(), GenerationJob.run, []

    def slowly(job: GenerationJob, ticket: Ticket) -> None:
        go.wait(60)
        ticket.report = lambda step, **frame: films.append(frame["grid"])  # type: ignore[method-assign]
        at_work(job, ticket)

    monkeypatch.setattr(GenerationJob, "run", slowly)
    shaped = {"shape": "landscape", "prompt": "a red bag"}
    studio.store.update(key, lambda s: replace(s, settings=replace(s.settings, **shaped)))
    studio.generate(key)
    studio.store.update(key, lambda s: state.mark(s, (1, 2)))
    studio.generate(key)
    go.set()
    finished(studio, key)
    *_, first, second = studio.store.load(key).pictures
    assert first.grid == second.grid == (4, 5) and set(films) == {(4, 5)}
    assert second.kept == () and second.parent is None
    assert studio.store.load(key).view.marks == ()


def test_blocks_of_any_shape() -> None:
    assert blocks.grow((0,), (2, 3)) == (0, 1, 3, 4)
    assert blocks.invert((0, 1), (2, 3)) == (2, 3, 4, 5)
    assert blocks.clean([5, 6, -1], (2, 3)) == (5,)
    assert blocks.to_mask((5,), (2, 3), (4, 6)).getbbox() == (4, 2, 6, 4)
    mask = Image.new("L", (60, 40), 0)
    mask.putpixel((59, 39), 255)
    assert blocks.from_mask(mask, (2, 3), (4, 6)) == (5,)
    said = labels({}, "0001", (2, 3), speak("en"))
    assert len(said) == 6 and said[4] == speak("en")("block_place", block=4, row=2, column=2)


def test_sessions_of_earlier_versions_have_the_models_own_grid(studio: Studio) -> None:
    old = state.Picture("0001", "pictures/0001.png")
    session = Session.from_json(Session(pictures=(old,)).to_json())
    assert studio.frame_of(session.pictures[0]).grid == (6, 4)
    new = replace(old, grid=(4, 6))
    assert Session.from_json(Session(pictures=(new,)).to_json()).pictures[0].grid == (4, 6)


def test_a_new_picture_has_the_shape_that_is_chosen(studio: Studio) -> None:
    key = begin(studio)

    def choose(shape: str) -> None:
        studio.store.update(key, lambda s: replace(s, settings=replace(s.settings, shape=shape)))

    choose("landscape")
    drawn = draw(studio, key)
    assert drawn.grid == (4, 5) and image(studio, key, drawn).size == (20, 16)
    choose("portrait")
    studio.store.update(key, lambda s: state.mark(s, (0, 1)))
    edited = draw(studio, key)
    assert edited.grid == (4, 5) and len(edited.kept) == 18
    studio.store.update(key, lambda s: state.mark(s, ()))
    assert draw(studio, key).grid == (5, 4)
    choose("same")
    assert draw(studio, key).grid == (5, 4)
