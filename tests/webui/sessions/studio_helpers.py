"""What tests of sessions do to one."""

from __future__ import annotations

from dataclasses import replace

from webui.sessions import state
from webui.sessions.studio import Studio

LONG = 60.0


def begin(studio: Studio, **settings: object) -> str:
    key = studio.begin()
    change(
        studio, key, **({"prompt": "men's blue shirt", "steps": 3, "seed_locked": True} | settings)
    )
    return key


def change(studio: Studio, key: str, **settings: object) -> None:
    studio.store.update(key, lambda s: replace(s, settings=replace(s.settings, **settings)))  # type: ignore[arg-type]


def draw(studio: Studio, key: str) -> state.Picture:
    studio.generate(key)
    progress = studio.worker.wait(key, LONG)
    assert progress is not None
    assert (progress.state, progress.error) == ("done", None)
    current = studio.store.load(key).current
    assert current is not None
    return current


def mark(studio: Studio, key: str, *blocks: int) -> None:
    studio.store.update(key, lambda s: state.mark(s, blocks))
