"""Enlarged pictures in a session of the editor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import make_pipeline
from toy_upscaler import toy_upscaler

from ufc.io.png.metadata import read_metadata
from ufc.requests.loading import ModelSettings
from webui.sessions import derived, state, uploads
from webui.sessions.generating.generation import GenerationJob
from webui.sessions.generating.worker import Ticket
from webui.sessions.state import Session
from webui.sessions.studio import Studio


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    pipe = make_pipeline()
    pipe.upscaler = toy_upscaler()
    pipe.save_pretrained(tmp_path / "model")
    return Studio(tmp_path / "sessions", ModelSettings(str(tmp_path / "model")))


def generate(studio: Studio, key: str, **sampling: object) -> Session:
    """One picture with these further settings."""
    settings = {"steps": 2, "prompt": "bag", "sampling": sampling}
    session = studio.store.update(
        key, lambda s: replace(s, settings=replace(s.settings, **settings))
    )
    wanted = studio.request(session)
    GenerationJob(studio.loaded, studio.store, key, wanted, session.current).run(Ticket(print, 2))
    return studio.store.load(key)


def test_an_enlarged_picture_can_be_edited_and_crossed(studio: Studio) -> None:
    key = studio.begin()
    generate(studio, key)
    session = generate(studio, key, upscale=2)
    assert session.current is not None
    first, large = session.pictures
    sizes = [studio.store.open_picture(key, one.file).size for one in (first, large)]
    assert sizes == [(16, 16), (32, 32)]
    metadata = read_metadata(studio.store.path(key, large.file))
    assert metadata.blocks is not None and metadata.blocks.grid_size == (4, 4)

    studio.store.update(key, lambda s: state.mark_to_change(s, (0, 1), studio.frame(s).grid))
    edited = generate(studio, key, upscale=2).pictures[-1]
    audit = studio.store.read_details(key, edited.id)["audit"]
    assert audit["kept"] == 14 and audit["changed"] == []
    assert audit["sha256_before"] == audit["sha256_after"]
    studio.store.update(key, lambda s: state.mark_to_change(s, (0, 1), studio.frame(s).grid))
    small = generate(studio, key).pictures[-1]  # of an enlarged one
    assert studio.store.open_picture(key, small.file).size == (16, 16)
    assert studio.store.read_details(key, small.id)["audit"]["changed"] == []

    derived.cross(studio, key, edited.id)
    crossed = studio.store.load(key).pictures[-1]
    assert studio.store.open_picture(key, crossed.file).size == (16, 16)


def test_an_enlarged_picture_comes_back_with_its_codes(studio: Studio) -> None:
    key = studio.begin()
    made = generate(studio, key, upscale=2).pictures[-1]
    data = studio.store.read(key, made.file)
    other = studio.begin()
    uploads.upload(studio, other, data)
    (uploaded,) = studio.store.load(other).pictures
    assert uploaded.codes == made.codes and uploaded.grid == (4, 4)
    assert studio.store.open_picture(other, uploaded.file).size == (32, 32)
