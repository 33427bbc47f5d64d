"""What is on the canvas: views, which can be undone, and the blocks that are marked."""

from __future__ import annotations

from dataclasses import replace

from ufc.conditioning.frame import Grid, cells
from webui.drawing.blocks import Blocks, invert
from webui.sessions.state.session import Session, View

MOST_UNDONE = 200


def look(session: Session, view: View) -> Session:
    """Another view; the one before can be had back by `undo`."""
    if view == session.view:
        return session
    past = (*session.past, session.view)[-MOST_UNDONE:]
    return replace(session, view=view, past=past, future=())


def undo(session: Session) -> Session:
    """The view before; nothing where there is none."""
    if not session.past:
        return session
    *past, view = session.past
    return replace(session, view=view, past=tuple(past), future=(session.view, *session.future))


def redo(session: Session) -> Session:
    """The view that was undone."""
    if not session.future:
        return session
    view, *future = session.future
    return replace(session, view=view, past=(*session.past, session.view), future=tuple(future))


def show(session: Session, picture: str | None) -> Session:
    """Put a picture on the canvas; the marks stay where it has the grid of the one before."""
    if picture is not None and session.find(picture) is None:
        return session
    view = of_grid(session, replace(session.view, picture=picture))
    return replace(look(session, view), future=session.future)  # looking about changes nothing


def of_grid(session: Session, view: View, blank: Grid | None = None) -> View:
    """A view of a picture; without the marks, where they are those of another grid. `blank` is the
    grid of a canvas without a picture."""
    before, after = session.current, session.find(view.picture)
    if after is None or after.grid is None:
        return view
    marked = blank if before is None else before.grid
    other = marked is not None and marked != after.grid
    outside = any(block >= cells(after.grid) for block in view.marks)
    return replace(view, marks=()) if other or outside else view


def mark(session: Session, marks: Blocks) -> Session:
    """Mark these blocks and no others."""
    return look(session, replace(session.view, marks=tuple(sorted(set(marks)))))


def mark_to_change(session: Session, blocks: Blocks, grid: Grid) -> Session:
    """Mark so that exactly these blocks are regenerated, whatever marks mean now."""
    return mark(session, invert(blocks, grid) if session.view.keep else blocks)


def marked_to_change(session: Session, blocks: Blocks, grid: Grid) -> Session:
    """The same as a part of the change before: one `undo` takes both back."""
    return replace(session, view=mark_to_change(session, blocks, grid).view)


def set_keep(session: Session, keep: bool) -> Session:
    """Whether marked blocks are those to keep; the marks stay where they are."""
    return look(session, replace(session.view, keep=keep))


def just_drawn(session: Session, grid: Grid) -> bool:
    """Whether the marks are those that the picture on the canvas was generated with."""
    picture = session.current
    if picture is None or not picture.kept:
        return False
    return blocks_to_change(session.view, grid) == invert(picture.kept, grid)


def blocks_to_change(view: View, grid: Grid) -> Blocks:
    """The blocks that are generated next; all of them where none is marked."""
    if not view.marks or view.picture is None:
        return tuple(range(cells(grid)))
    return invert(view.marks, grid) if view.keep else view.marks
