"""The pictures of a session: never taken away by undoing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from webui.drawing.blocks import Blocks
from webui.sessions.state.reference_list import set_control
from webui.sessions.state.session import Picture, Session, View
from webui.sessions.state.settings import picture_controls
from webui.sessions.state.views import look, of_grid


def next_id(session: Session) -> str:
    """An id for the next picture: they are numbered as they come."""
    return f"{max((int(item.id) for item in session.pictures), default=0) + 1:04d}"


def add(session: Session, pictures: Sequence[Picture], marks: Blocks | None = None) -> Session:
    """New pictures, the first of them on the canvas; marks stay unless others are given."""
    if not pictures:
        return session
    session = replace(session, pictures=(*session.pictures, *pictures))
    view = replace(session.view, picture=pictures[0].id)
    view = of_grid(session, view) if marks is None else replace(view, marks=marks)
    return look(session, view)


def set_favourite(session: Session, picture: str, favourite: bool) -> Session:
    """Star a picture, or take the star away."""
    changed = (
        replace(item, favourite=favourite) if item.id == picture else item
        for item in session.pictures
    )
    return replace(session, pictures=tuple(changed))


def group_of(session: Session, picture: Picture | None) -> tuple[Picture, ...]:
    """The pictures that were generated together with this one, itself among them."""
    if picture is None:
        return ()
    if not picture.group:
        return (picture,)
    return tuple(item for item in session.shown if item.group == picture.group)


def without_files(session: Session, missing: Collection[str]) -> Session:
    """The session while these of its files are missing: their pictures are not seen, and come back
    with their files; references are taken out."""
    pictures = tuple(replace(item, gone=item.file in missing) for item in session.pictures)
    references = tuple(item for item in session.references if item.file not in missing)
    session = replace(session, pictures=pictures, references=references)
    for name in picture_controls():
        if session.settings.controls.get(name) in missing:
            session = set_control(session, name, None)
    return of_what_is_seen(session)


def of_what_is_seen(session: Session) -> Session:
    """The session without views of pictures that cannot be seen."""
    seen = {None, *(item.id for item in session.shown)}
    return replace(
        session,
        view=session.view if session.view.picture in seen else View(keep=session.view.keep),
        past=tuple(view for view in session.past if view.picture in seen),
        future=tuple(view for view in session.future if view.picture in seen),
    )
