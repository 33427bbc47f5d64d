"""The reference images of a session, each on or off, weighed, in an order."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from webui.sessions.state.refusal import RefusedError
from webui.sessions.state.session import ReferenceItem, Session

MOST_REFERENCES = 8


LEAST_WEIGHT, MOST_WEIGHT = 0.1, 3.0  # of a reference


def add_reference(session: Session, item: ReferenceItem) -> Session:
    """Another reference, at the end; one with the same pixels is not taken twice.

    Raises `RefusedError` where there are as many as the model reads.
    """
    if any(other.file == item.file for other in session.references):
        return session
    if len(session.references) >= MOST_REFERENCES:
        raise RefusedError("references_full", most=MOST_REFERENCES)
    return replace(session, references=(*session.references, item))


def change_reference(session: Session, file: str, **changes: Any) -> Session:
    """Switch a reference on or off, or weigh it otherwise."""
    changed = (
        replace(item, **changes) if item.file == file else item for item in session.references
    )
    return replace(session, references=tuple(changed))


def use_references(session: Session, weights: Mapping[str, float]) -> Session:
    """Switch these files on, weighed so, and all others off; those taken out come back. Where that
    is more than the model reads, others make room first."""
    known = {item.file for item in session.references}
    items = [
        replace(item, on=item.file in weights, weight=weights.get(item.file, item.weight))
        for item in session.references
    ]
    back = [
        ReferenceItem(file, file.rsplit("/", 1)[-1], weight=weight)
        for file, weight in weights.items()
        if file not in known
    ]
    wanted = sorted([*items, *back], key=lambda item: not item.on)[:MOST_REFERENCES]
    left = tuple(item for item in [*items, *back] if item in wanted)
    return replace(session, references=left)


def taken_out(before: Session, after: Session) -> int:
    """How many references of a session are not in its list any more."""
    return len({one.file for one in before.references} - {one.file for one in after.references})


def not_used(session: Session, files: Collection[str]) -> int:
    """How many of these files are no references that count."""
    return len({*files} - {item.file for item in session.references if item.on})


def remove_reference(session: Session, file: str) -> Session:
    return replace(
        session, references=tuple(item for item in session.references if item.file != file)
    )


def move_reference(session: Session, file: str, by: int) -> Session:
    """A reference `by` places further back (or forward), as far as there are places."""
    items = list(session.references)
    place = next((number for number, item in enumerate(items) if item.file == file), None)
    if place is None:
        return session
    item = items.pop(place)
    items.insert(max(0, min(len(items), place + by)), item)
    return replace(session, references=tuple(items))


def set_control(session: Session, name: str, value: str | None) -> Session:
    """Give a registered control its words or its file, or take it away."""
    controls = {key: old for key, old in session.settings.controls.items() if key != name}
    controls |= {} if value is None else {name: value}
    return replace(session, settings=replace(session.settings, controls=controls))
