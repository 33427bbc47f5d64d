"""Sessions of the editor."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from webui.sessions.store import SessionStore

from .base import Job, Work, whole_files
from .models import Models

SEEDS = (1, 2, 3, 4)


def session(models: Models, folder: Path) -> None:
    """A visitor who generates pictures one after another, and comes back to the same session."""
    from ufc.requests.loading import ModelSettings
    from webui.sessions.state import set_favourite
    from webui.sessions.studio import Studio

    studio = Studio(folder, ModelSettings(str(models.model)))
    place = folder / "key"
    key = place.read_text() if place.is_file() else ""
    if not key or not studio.has(key):
        key = studio.begin()
        (folder / ".key").write_text(key)
        (folder / ".key").replace(place)
    done = len(studio.store.load(key).pictures)
    for seed in SEEDS[done:]:
        studio.store.update(key, lambda s, seed=seed: with_seed(s, seed))
        studio.generate(key)
        studio.worker.wait(key, 60)
        studio.worker.finished(key)
        last = studio.store.load(key).pictures[-1].id
        studio.store.update(key, lambda s, last=last: set_favourite(s, last, True))


def with_seed(found: Any, seed: int) -> Any:
    settings = replace(found.settings, prompt="red bag", seed=seed, seed_locked=True, steps=3)
    return replace(found, settings=replace(settings, pictures=1, candidates=1))


def session_state(folder: Path) -> Any:
    key = (folder / "key").read_text()
    store = SessionStore(folder)
    found = store.load(key)
    pixels = [store.open_picture(key, picture.file).tobytes() for picture in found.pictures]
    seeds = [picture.id for picture in found.pictures]
    assert len(set(seeds)) == len(seeds), "a picture is there twice"
    return pixels, seeds


def check_session(folder: Path) -> None:
    """Whatever the session names is there and whole."""
    whole_files(folder)
    if (folder / "key").is_file():
        session_state(folder)


def jobs(models: Models) -> dict[str, Job]:
    return {"session": Work(partial(session, models), session_state, check_session)}
