"""Words and settings of an earlier picture, for the next."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ufc.request import Request
from webui.sessions import state

if TYPE_CHECKING:
    from webui.sessions.studio import Studio


def take_over(studio: Studio, key: str, picture: str) -> int:
    """Ask as a picture of the session was asked for, but for what was kept of another; counts the
    references that are not there any more.

    Raises `ValueError` where the picture does not say how it was made.
    """
    source = studio.store.load(key).find(picture)
    if source is None or not source.request:
        raise ValueError(f"picture {picture} does not say how it was made")
    conditioning = Request.from_json(source.request).conditioning
    asked = {one.picture: one.weight for one in conditioning.reference_images}
    there = {name: weight for name, weight in asked.items() if studio.store.has_file(key, name)}

    def change(session: state.Session) -> state.Session:
        settings = state.from_request(session.settings, source.request)
        return state.use_references(replace(session, settings=settings), there)

    studio.store.update(key, change)
    missing = len(asked) - len(there)
    for control in state.picture_controls():
        file = getattr(conditioning, control)
        lost = bool(file) and not studio.store.has_file(key, file)
        given = None if lost else file
        studio.store.update(key, partial(state.set_control, name=control, value=given))
        missing += lost
    return missing
