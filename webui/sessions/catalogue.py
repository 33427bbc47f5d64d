"""The sessions of a folder as a person finds them: names, thumbnails, dates; put away and back."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from ufc_base.files import write_atomically
from ufc_base.formats.json_text import load_json
from webui.sessions import state
from webui.sessions.state import Session
from webui.sessions.store import FOLDERS, SessionStore

MOST_LETTERS_OF_A_NAME = 80
LEFT_FOR = 86_400.0  # seconds that an empty session is left for its visitor
AWAY = "deleted"  # the folder beside `sessions` that deleted ones are moved to


@dataclass(frozen=True)
class Summary:
    """What is seen of a session before it is opened.

    Attributes:
        name: what its visitor calls it; empty where it has no name.
        changed: seconds since 1970.
        picture: the file to know it by, None where it has no picture.
        prompts: the words of its pictures, the latest first.
        codebook: what its codes are codes of.
    """

    key: str
    name: str
    changed: float
    pictures: int
    picture: Path | None
    prompts: tuple[str, ...]
    codebook: str

    @property
    def title(self) -> str:
        """Its name, or else the words that were used last; empty where there are none."""
        return self.name or (self.prompts[0] if self.prompts else "")


def summaries(store: SessionStore) -> list[Summary]:
    """The sessions that have something in them, the latest first."""
    return [one for one in _of_folder(store.folder / "sessions") if one.pictures or one.name]


def put_away(store: SessionStore) -> list[Summary]:
    """The sessions that were deleted and can be put back, the last deleted first."""
    gone = _of_folder(store.folder / AWAY)
    return sorted(gone, key=lambda one: -_changed(store.folder / AWAY / one.key))


def with_words(found: Sequence[Summary], words: str) -> list[Summary]:
    """Those in whose name or words all of these words are."""
    wanted = words.casefold().split()
    texts = [" ".join((one.name, *one.prompts)).casefold() for one in found]
    return [
        one for one, text in zip(found, texts, strict=True) if all(word in text for word in wanted)
    ]


def rename(store: SessionStore, key: str, name: str) -> None:
    """Give a session a name; an empty one takes it away."""
    name = " ".join(name.split())[:MOST_LETTERS_OF_A_NAME]
    store.update(key, lambda session: replace(session, name=name))


def duplicate(store: SessionStore, key: str, name: str) -> str:
    """A copy of a session under another name; returns its id.

    Raises `KeyError` where there is no such session.
    """
    store.load(key)
    copy, named = secrets.token_hex(12), name[:MOST_LETTERS_OF_A_NAME]
    half = store.folder / f".ufc-copy-{copy}"  # not listed before it is whole
    try:
        with store.own(key):  # what the session names is there
            shutil.copytree(store.path(key), half, ignore=shutil.ignore_patterns(".ufc-*.tmp"))
        half.rename(store.path(copy))
        store.update(copy, lambda session: replace(session, name=named, pending=False))
    except BaseException:
        for folder in (half, store.path(copy)):
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return copy


def delete(store: SessionStore, key: str) -> None:
    """Put a session away; `restore` brings it back.

    Raises `KeyError` where there is no such session.
    """
    if not store.has(key):
        raise KeyError(key)
    away = store.folder / AWAY / key
    away.parent.mkdir(parents=True, exist_ok=True)
    with store.own(key):
        store.path(key).rename(away)
        with suppress(OSError):
            os.utime(away)  # when it was deleted
        store.has(key)  # forgets it


def restore(store: SessionStore, key: str) -> None:
    """Bring a session back that was put away.

    Raises `KeyError` where there is none.
    """
    away = store.folder / AWAY / key
    if not store.is_id(key) or not away.is_dir():
        raise KeyError(key)
    with store.own(key):
        away.rename(store.path(key))


def delete_for_good(store: SessionStore, keys: Iterable[str]) -> None:
    """Remove the files of these sessions, as far as they are put away."""
    for key in keys:
        if store.is_id(key):
            with store.own(key):
                shutil.rmtree(store.folder / AWAY / key, ignore_errors=True)


def sweep(
    store: SessionStore,
    begun: Session,
    in_use: Callable[[str], bool] = lambda key: False,
    older: float = LEFT_FOR,
) -> int:
    """Remove the sessions that nobody put anything into and that were not changed for `older`
    seconds: every visit begins one. Returns how many.

    Args:
        begun: a session as it begins; one that differs in more than language and seed stays.
        in_use: whether a session, by its id, is to stay though it is empty.
    """
    before = time.time_ns() - round(older * 1e9)
    files = store.folder.glob("sessions/*/session.json")
    old = [path.parent.name for path in files if 0 < _changed(path) < before]
    mine = [key for key in old if store.is_id(key) and not in_use(key)]
    return sum(_remove_empty(store, key, begun, before) for key in mine)


def _remove_empty(store: SessionStore, key: str, begun: Session, before: int) -> bool:
    """Remove a session that is still as it began and unchanged; whether it was."""
    with store.own(key):  # nobody changes it meanwhile
        folder = store.path(key)
        try:
            if _changed(folder / "session.json") >= before:
                return False
            session = Session.from_json(load_json((folder / "session.json").read_text("utf-8")))
            lang, seed = begun.settings.lang, begun.settings.seed
            settings = replace(session.settings, lang=lang, seed=seed)
            if replace(session, settings=settings) != begun or not _remove_folder(folder):
                return False
        except (OSError, ValueError, TypeError, AttributeError):
            return False  # damaged, or of another: it is not ours to remove
        store.has(key)  # forgets it
        return True


def _remove_folder(folder: Path) -> bool:
    """Remove the folder of a session with no file but `session.json`; whether it had no other.

    Pictures are written by threads that do not hold the session's lock: the folder goes only if it
    is empty at that moment, or else the session is written back beside the file that came.
    """
    file = folder / "session.json"
    if any(path != file and not path.is_dir() for path in folder.rglob("*")):
        return False
    kept = file.read_bytes()
    file.unlink()
    try:
        for name in FOLDERS:
            with suppress(FileNotFoundError):
                (folder / name).rmdir()
        folder.rmdir()
    except OSError:
        write_atomically(file, lambda stream: stream.write(kept))
        return False
    return True


def _of_folder(folder: Path) -> list[Summary]:
    files = ((path, _changed(path)) for path in folder.glob("*/session.json"))
    known = sorted(((path, at) for path, at in files if at), key=lambda item: -item[1])
    read = (_summary(path, at) for path, at in known)
    return [one for one in read if one is not None]


def _changed(path: Path) -> int:
    """When a file or a list of files was written last, in ns; 0 where it is gone."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=4096)
def _summary(path: Path, changed: int) -> Summary | None:
    try:
        session = Session.from_json(load_json(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, AttributeError):
        return None  # damaged
    shown = session.shown
    stars = tuple(item for item in shown if item.favourite)
    known = session.current or next(iter((stars or shown)[-1:]), None)
    return Summary(
        path.parent.name,
        session.name,
        changed / 1e9,
        len(shown),
        None if known is None else path.parent / known.file,
        state.prompts(session),
        session.codebook,
    )
