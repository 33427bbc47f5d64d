"""Sessions of the editor, and presets of its visitors."""

from __future__ import annotations

import json
from pathlib import Path

from ufc.io.validation import RequestError
from webui.sessions.presets import Presets, with_preset
from webui.sessions.state import Settings, next_id, to_request
from webui.sessions.store import SessionStore

from .. import texts
from ..mutation import odd_json
from .base import Kind, Rng

KEY = "0123456789abcdef01234567"


def write_session(rng: Rng, folder: Path) -> None:
    place = folder / "sessions" / KEY
    (place / "pictures").mkdir(parents=True)
    (place / "session.json").write_bytes(odd_json(rng, texts.SESSION))
    (place / "pictures" / "0001.json").write_bytes(odd_json(rng, {"curves": [], "blocks": {}}))


def read_session(folder: Path) -> None:
    store = SessionStore(folder)
    store.read_details(KEY, "0001")
    try:
        session = store.load(KEY)
    except KeyError:
        return
    next_id(session)
    session.find("0001")
    to_request(session, (4, 4))


def session_is_json(folder: Path) -> object:
    return json.loads((folder / "sessions" / KEY / "session.json").read_bytes().decode())


def write_presets(rng: Rng, folder: Path) -> None:
    (folder / "presets.json").write_bytes(texts.presets(rng))


def read_presets(folder: Path) -> None:
    """Read and used, then with one more and one less: what is damaged is in nobody's way."""
    file = Presets(folder / "presets.json")
    found = file.read()
    file.save("mine", Settings())
    file.remove(next(iter(found), "mine"))
    for told in found.values():
        try:
            with_preset(Settings(), told)
        except ValueError as error:  # the page says it
            raise RequestError(str(error)) from error


def presets_are_json(folder: Path) -> object:
    return json.loads((folder / "presets.json").read_bytes().decode())


KINDS = {
    "session": Kind(800, write_session, session_is_json, {"store": read_session}),
    "presets": Kind(500, write_presets, presets_are_json, {"Presets": read_presets}),
}
