"""Sessions on disk: one folder each, safe against reloads, restarts and two tabs at once.

`OUTPUT/sessions/ID/` holds `session.json`, `pictures/` (a PNG and a JSON of details each) and
`references/`. Nothing is ever written elsewhere.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from ufc.io.manifest import open_folder
from ufc_base.files import write_atomically
from ufc_base.images import load_original
from ufc_base.json_text import load_json
from webui.sessions.state import Session

_ID = re.compile(r"[0-9a-f]{24}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class SessionStore:
    """All sessions of an output folder.

    Raises `RequestError` where the folder cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = open_folder(folder)
        self._sessions: dict[str, Session] = {}
        self._lock = threading.RLock()

    def create(self, session: Session) -> str:
        """Keep a new session; returns its id, which nobody can guess."""
        key = secrets.token_hex(12)
        self._write(key, session)
        return key

    def has(self, key: str) -> bool:
        return bool(_ID.fullmatch(key)) and (self.path(key) / "session.json").is_file()

    def load(self, key: str) -> Session:
        """The session as it is now.

        Raises `KeyError` where there is none, or its file is damaged.
        """
        with self._lock:
            if key not in self._sessions:
                if not self.has(key):
                    raise KeyError(key)
                try:
                    text = (self.path(key) / "session.json").read_text(encoding="utf-8")
                    self._sessions[key] = Session.from_json(load_json(text))
                except (ValueError, TypeError, AttributeError):
                    raise KeyError(key) from None
            return self._sessions[key]

    def update(self, key: str, change: Callable[[Session], Session]) -> Session:
        """Apply a transition to the session as it is now, and write it down."""
        with self._lock:
            before = self.load(key)
            after = change(before)
            if after != before:
                self._write(key, after)
            return after

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
        except (FileNotFoundError, ValueError, TypeError):
            return {}

    def _details(self, key: str, picture: str) -> Path:
        return self.path(key, f"pictures/{picture}.json")

    def _write(self, key: str, session: Session) -> None:
        text = json.dumps(session.to_json(), ensure_ascii=False, allow_nan=False).encode()
        with self._lock:
            write_atomically(self.path(key, "session.json"), lambda file: file.write(text))
            self._sessions[key] = session


def _reference(sha256: str) -> str:
    return f"references/{sha256[:16]}.png"
