"""Sessions on disk: one folder each, safe against reloads, restarts and two tabs at once.

`OUTPUT/sessions/ID/` holds `session.json`, `pictures/` (a PNG and a JSON of details each),
`originals/` of photographs and `references/`. Nothing is ever written elsewhere.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import re
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from ufc.io.manifest import open_folder
from ufc_base.files import write_atomically
from ufc_base.formats.json_text import load_json
from ufc_base.images import load_original
from webui.sessions.state import Session, next_id, picture_controls

FOLDERS = ("pictures", "originals", "references")  # of a session
MOST_IN_MEMORY = 256  # sessions; those that were used last
_ID = re.compile(r"[0-9a-f]{24}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass
class _InMemory:
    """A session in memory: its lock, and how many threads hold that or wait for it."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    users: int = 0
    session: Session | None = None
    named: int = 0  # the last number that was given away

    @property
    def idle(self) -> bool:
        """Whether it can be forgotten: no thread uses it, and no number that was given away is
        still to come into the session."""
        if self.users:
            return False
        return self.session is None or self.named < int(next_id(self.session))


class SessionStore:
    """All sessions of an output folder.

    Raises `RequestError` where the folder cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = open_folder(folder)
        self._known: dict[str, _InMemory] = {}  # the last used is the last
        self._lock = threading.Lock()  # of `_known`, held for a moment

    def create(self, session: Session) -> str:
        """Keep a new session; returns its id, which nobody can guess."""
        key = secrets.token_hex(12)
        self._write(key, session)
        return key

    @staticmethod
    def is_id(key: str) -> bool:
        """Whether a text, which anybody may have written, is an id."""
        return _ID.fullmatch(key) is not None

    def has(self, key: str) -> bool:
        """Whether there is such a session; one whose folder was deleted is no more."""
        if self.is_id(key) and (self.path(key) / "session.json").is_file():
            return True
        with self._lock:
            if key in self._known:
                self._known[key].session = None
        return False

    def load(self, key: str) -> Session:
        """The session as it is now.

        Raises `KeyError` where there is none, or its file is damaged.
        """
        with self._lock:
            known = self._known.get(key)
            if known is not None and known.session is not None:
                self._known[key] = self._known.pop(key)
                return known.session
        with self.own(key) as known:
            session = known.session
            if session is None:
                if not self.has(key):
                    raise KeyError(key)
                try:
                    text = (self.path(key) / "session.json").read_text(encoding="utf-8")
                    session = Session.from_json(load_json(text))
                except (OSError, ValueError, TypeError, AttributeError):
                    raise KeyError(key) from None
                known.session = session
            return session

    def update(self, key: str, change: Callable[[Session], Session]) -> Session:
        """Apply a transition to the session as it is now, and write it down.

        `change` is quick: pictures are decoded and written before, under `names`.
        """
        with self.own(key):
            before = self.load(key)
            after = change(before)
            if after != before:
                self._write(key, after)
            return after

    def names(self, key: str, count: int = 1) -> list[str]:
        """Ids for the next pictures of a session, which nobody else is given."""
        with self.own(key) as known:
            first = max(int(next_id(self.load(key))), known.named + 1)
            known.named = first + count - 1
        return [f"{number:04d}" for number in range(first, first + count)]

    def missing(self, key: str, session: Session) -> frozenset[str]:
        """Those of a session's files that are not there."""
        files = {name for picture in session.pictures for name in (picture.file, picture.best)}
        files |= {reference.file for reference in session.references}
        files |= {session.settings.controls.get(name, "") for name in picture_controls()} - {""}
        return frozenset(name for name in files if not self.has_file(key, name))

    def has_file(self, key: str, name: str) -> bool:
        return self.path(key, name).is_file()

    def sizes(self, key: str) -> dict[str, int]:
        """How many bytes each picture of a session has, by the name of its file."""
        found = {}
        for folder in FOLDERS:
            with suppress(OSError), os.scandir(self.path(key, folder)) as entries:
                for entry in entries:
                    if not entry.name.endswith(".json"):
                        found[f"{folder}/{entry.name}"] = entry.stat().st_size
        return found

    def path(self, key: str, name: str = "") -> Path:
        """A file of a session. `name` is one that this program made, never a visitor's."""
        return self.folder / "sessions" / key / name

    def read(self, key: str, name: str) -> bytes:
        return self.path(key, name).read_bytes()

    def open_picture(self, key: str, name: str) -> Image.Image:
        """A picture of a session, in its own colours."""
        return load_original(self.read(key, name))

    def keep_reference(self, key: str, image: Image.Image) -> str:
        """Write a reference image under the name of its content; returns the name."""
        stream = io.BytesIO()
        image.convert("RGB").save(stream, "PNG")
        name = _reference(hashlib.sha256(stream.getvalue()).hexdigest())
        if not self.path(key, name).exists():
            write_atomically(self.path(key, name), lambda file: file.write(stream.getvalue()))
        return name

    def find_reference(self, key: str, sha256: object) -> str | None:
        """The reference of this session with a digest, which anybody may have written."""
        if not isinstance(sha256, str) or not _DIGEST.fullmatch(sha256):
            return None
        name = _reference(sha256)
        return name if self.path(key, name).is_file() else None

    def write_details(self, key: str, picture: str, details: Mapping[str, Any]) -> None:
        """What is known of a picture block by block and step by step, beside its file."""
        text = json.dumps(details, allow_nan=False, separators=(",", ":")).encode()
        write_atomically(self._details(key, picture), lambda file: file.write(text))

    def read_details(self, key: str, picture: str) -> dict[str, Any]:
        """What `write_details` wrote; empty where nothing was."""
        try:
            return dict(load_json(self._details(key, picture).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return {}

    def _details(self, key: str, picture: str) -> Path:
        return self.path(key, f"pictures/{picture}.json")

    def _write(self, key: str, session: Session) -> None:
        text = json.dumps(session.to_json(), ensure_ascii=False, allow_nan=False).encode()
        with self.own(key) as known:
            write_atomically(self.path(key, "session.json"), lambda file: file.write(text))
            known.session = session

    @contextmanager
    def own(self, key: str) -> Iterator[_InMemory]:
        """The lock of one session, held while its files change: nobody waits for another's."""
        with self._lock:
            known = self._known.pop(key) if key in self._known else _InMemory()
            self._known[key] = known
            known.users += 1
        try:
            with known.lock:
                yield known
        finally:
            with self._lock:
                known.users -= 1
                self._forget()

    def _forget(self) -> None:
        """Forget those that were not used for the longest, where there are too many."""
        too_many = len(self._known) - MOST_IN_MEMORY
        if too_many > 0:
            idle = (key for key, known in self._known.items() if known.idle)
            for key in [*itertools.islice(idle, too_many)]:
                del self._known[key]


def _reference(sha256: str) -> str:
    return f"references/{sha256[:16]}.png"
