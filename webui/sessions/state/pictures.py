"""The pictures of a session: never taken away by undoing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from ufc.conditioning.frame import Grid
from webui.drawing.blocks import Blocks
from webui.sessions.state.reference_list import set_control
from webui.sessions.state.session import Picture, Session, View
from webui.sessions.state.settings import picture_controls
from webui.sessions.state.views import look, of_grid, show


def next_id(session: Session) -> str:
    """An id for the next picture: they are numbered as they come."""
    return f"{max((int(item.id) for item in session.pictures), default=0) + 1:04d}"


def add(
    session: Session,
    pictures: Sequence[Picture],
    marks: Blocks | None = None,
    blank: Grid | None = None,
) -> Session:
    """New pictures, the first of them on the canvas; marks stay unless others are given, or they
    are those of another grid (see `of_grid`)."""
    if not pictures:
        return session
    session = replace(session, pictures=(*session.pictures, *pictures))
    view = replace(session.view, picture=pictures[0].id)
    view = of_grid(session, view, blank) if marks is None else replace(view, marks=marks)
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
    pictures = tuple(
        replace(item, gone=bool({item.file, item.best} & {*missing})) for item in session.pictures
    )
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


# Taken away, and put back


def delete(session: Session, pictures: Collection[str]) -> Session:
    """The session without pictures; `restore` puts them back. Instead of the one on the canvas
    the one before it that is left is seen."""
    was = session.current
    changed = tuple(
        replace(item, deleted=True) if item.id in pictures else item for item in session.pictures
    )
    session = of_what_is_seen(replace(session, pictures=changed))
    if was is None or was.id not in pictures or not session.shown:
        return session
    before = [item for item in session.shown if int(item.id) < int(was.id)]
    seen = (before or session.shown[:1])[-1]
    return replace(session, view=replace(session.view, picture=seen.id, marks=()))


def restore(session: Session) -> Session:
    """The session with all deleted pictures put back, the latest of them on the canvas."""
    gone = [item.id for item in deleted(session)]
    changed = tuple(replace(item, deleted=False) for item in session.pictures)
    session = replace(session, pictures=changed)
    return show(session, gone[-1]) if gone else session


def deleted(session: Session) -> tuple[Picture, ...]:
    """The pictures that can be put back."""
    return tuple(item for item in session.pictures if item.deleted and not item.gone)


# Found again


def with_words(pictures: Sequence[Picture], words: str) -> tuple[Picture, ...]:
    """Those of the pictures whose words have all of these in them, or whose number is this."""
    wanted = words.casefold().split()
    return tuple(
        item
        for item in pictures
        if all(word in item.prompt.casefold() for word in wanted)
        or (words.strip().isdecimal() and int(words) == int(item.id))
    )


def prompts(session: Session) -> tuple[str, ...]:
    """The words of the session's pictures, each once, the latest first."""
    return tuple(dict.fromkeys(item.prompt for item in session.pictures[::-1] if item.prompt))
