"""Sessions are listed, named, copied, deleted and put back."""

from __future__ import annotations

import os
import shutil
import threading
import time
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ufc_base.files import write_atomically
from webui.sessions import catalogue, state, thumbnails
from webui.sessions.state import Picture, ReferenceItem, Session, View
from webui.sessions.store import SessionStore
from webui.sessions.thumbnails import thumbnail


def session(*prompts: str, name: str = "") -> Session:
    pictures = [
        Picture(f"{number:04d}", f"pictures/{number:04d}.png", request={"prompt": prompt})
        for number, prompt in enumerate(prompts, 1)
    ]
    return replace(state.add(Session(codebook="c"), pictures), name=name)


@pytest.fixture
def store(tmp_path: Path) -> SessionStore:
    return SessionStore(tmp_path)


def keys(store: SessionStore) -> list[str]:
    return [one.key for one in catalogue.summaries(store)]


def test_sessions_are_found_by_name_and_words_and_empty_ones_are_not_listed(
    store: SessionStore,
) -> None:
    store.create(Session())
    bags = store.create(session("red bag", "blue bag"))
    coats = store.create(session("coat", name="Winter"))
    found = catalogue.summaries(store)
    assert {one.key: one.title for one in found} == {bags: "blue bag", coats: "Winter"}
    assert {one.key: one.pictures for one in found} == {bags: 2, coats: 1}
    assert [one.key for one in catalogue.with_words(found, "bag RED")] == [bags]
    assert [one.key for one in catalogue.with_words(found, "winter")] == [coats]
    assert catalogue.with_words(found, "winter bag") == []


def test_a_new_name_is_seen_at_once(store: SessionStore) -> None:
    key = store.create(session("bag"))
    assert catalogue.summaries(store)[0].title == "bag"
    catalogue.rename(store, key, "  Bags \n of spring ")
    assert catalogue.summaries(store)[0].title == "Bags of spring"


def test_a_copy_is_a_session_of_its_own(store: SessionStore) -> None:
    key = store.create(session("bag"))
    store.path(key, "pictures").mkdir()
    store.path(key, "pictures/0001.png").write_bytes(b"picture")
    copy = catalogue.duplicate(store, key, "Bags (copy)")
    store.update(copy, lambda s: state.delete(s, ["0001"]))
    assert store.read(copy, "pictures/0001.png") == b"picture"
    assert len(store.load(key).shown) == 1
    assert store.load(copy).name == "Bags (copy)"


def test_what_was_deleted_comes_back_as_it_was(store: SessionStore) -> None:
    key = store.create(session("bag"))
    before = store.load(key)
    catalogue.delete(store, key)
    assert keys(store) == []
    assert not store.has(key)
    with pytest.raises(KeyError):
        store.load(key)
    assert [one.key for one in catalogue.put_away(store)] == [key]
    catalogue.restore(store, key)
    assert store.load(key) == before
    catalogue.delete(store, key)
    catalogue.delete_for_good(store, [key])
    assert catalogue.put_away(store) == []
    with pytest.raises(KeyError):
        catalogue.restore(store, key)


def test_only_what_was_seen_is_deleted_for_good(store: SessionStore) -> None:
    first, second, third = (store.create(session(name)) for name in ("bag", "coat", "hat"))
    for at, key in enumerate((second, third, first)):
        catalogue.delete(store, key)
        os.utime(store.folder / catalogue.AWAY / key, (at, at))
    assert [one.key for one in catalogue.put_away(store)] == [first, third, second]
    catalogue.delete_for_good(store, [third, "..", second])
    assert [one.key for one in catalogue.put_away(store)] == [first]


def test_a_copy_is_whole_or_not_there(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    key = store.create(session("bag"))
    store.path(key, ".ufc-1-ab.tmp").write_text("half")
    copy = catalogue.duplicate(store, key, "other")
    assert not store.has_file(copy, ".ufc-1-ab.tmp")

    def full(*given: object, **named: object) -> None:
        raise OSError("no space left")

    for broken in ("copytree", "update"):
        with monkeypatch.context() as patched:
            patched.setattr(shutil if broken == "copytree" else store, broken, full)
            with pytest.raises(OSError, match="no space"):
                catalogue.duplicate(store, key, "another")
        assert {path.name for path in (store.folder / "sessions").iterdir()} == {key, copy}
        assert not list(store.folder.glob(".ufc-copy-*"))


def test_nothing_but_a_session_is_moved(store: SessionStore) -> None:
    for key in ("..", "../..", "", "0" * 24):
        with pytest.raises(KeyError):
            catalogue.delete(store, key)
        with pytest.raises(KeyError):
            catalogue.restore(store, key)


def test_empty_sessions_go_after_a_day(store: SessionStore) -> None:
    old, new, named = store.create(Session()), store.create(Session()), store.create(session("bag"))
    typed = store.create(Session(settings=state.Settings(prompt="coat")))
    with_presets, damaged, seen = (store.create(Session()) for _ in range(3))
    store.path(with_presets, "presets.json").write_text("{}")
    store.path(damaged, "session.json").write_text("{")
    for key in (old, named, typed, with_presets, damaged, seen):
        os.utime(store.path(key, "session.json"), (at := time.time() - 90_000, at))
    assert catalogue.sweep(store, Session(), in_use=lambda key: key == seen) == 1
    left = {path.name for path in (store.folder / "sessions").iterdir()}
    assert left == {new, named, typed, with_presets, damaged, seen}
    assert not store.has(old)
    with pytest.raises(KeyError):
        store.load(old)


def with_settings(**changes: Any) -> Session:
    return Session(settings=state.Settings(**changes))


@pytest.mark.parametrize(
    ("left", "stays"),
    [
        (with_settings(prompt="coat"), True),
        (with_settings(negative_prompt="blurred"), True),
        (with_settings(controls={"pose": "standing"}), True),
        (with_settings(sampling={"noise": 1.0}), True),
        (with_settings(steps=30), True),
        (Session(name="Bags"), True),
        (Session(references=(ReferenceItem("references/a.png", "a.png"),)), True),
        (Session(past=(View(marks=(1,)),)), True),
        (Session(future=(View(marks=(1,)),)), True),
        (Session(view=View(marks=(1,))), True),
        (Session(pending=True), True),
        (Session(codebook="of another"), True),
        (with_settings(lang="zh", seed=7), False),
    ],
)
def test_only_a_session_that_is_as_it_began_goes(
    store: SessionStore, left: Session, stays: bool
) -> None:
    key = store.create(left)
    os.utime(store.path(key, "session.json"), (1, 1))
    assert catalogue.sweep(store, Session()) == (not stays)
    assert store.has(key) is stays


def test_empty_folders_go_with_their_session(store: SessionStore) -> None:
    key = store.create(Session())
    store.path(key, "pictures").mkdir()
    os.utime(store.path(key, "session.json"), (1, 1))
    assert catalogue.sweep(store, Session()) == 1
    assert not store.path(key).exists()


@pytest.mark.parametrize("name", ["presets.json", "pictures/0001.png"])
def test_a_file_that_comes_while_its_session_goes_keeps_both(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    key = store.create(Session())
    file = store.path(key, "session.json")
    before = file.read_bytes()
    os.utime(file, (1, 1))
    unlink = Path.unlink

    def late(path: Path, missing_ok: bool = False) -> None:
        unlink(path, missing_ok)
        if path == file:  # one who does not hold the lock
            write_atomically(store.path(key, name), lambda stream: stream.write(b"late"))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", late)
        assert catalogue.sweep(store, Session()) == 0
    assert store.read(key, name) == b"late"
    assert file.read_bytes() == before
    assert store.load(key) == Session()


def test_a_session_that_changes_while_others_go_stays(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = store.create(Session())
    os.utime(store.path(key, "session.json"), (1, 1))
    reached, sweeping = threading.Event(), threading.Event()

    def typing(before: Session) -> Session:
        reached.set()
        assert sweeping.wait(10)
        return replace(before, settings=replace(before.settings, prompt="coat"))

    visitor = threading.Thread(target=store.update, args=(key, typing))
    visitor.start()
    assert reached.wait(10)
    swept: list[int] = []
    own = store.own

    def own_or_wait(key: str) -> AbstractContextManager[Any]:
        sweeping.set()  # old enough, and found to be so: only the lock keeps it
        return own(key)

    monkeypatch.setattr(store, "own", own_or_wait)
    sweeper = threading.Thread(target=lambda: swept.append(catalogue.sweep(store, Session())))
    sweeper.start()
    visitor.join(10)
    sweeper.join(10)
    assert swept == [0]
    assert store.load(key).settings.prompt == "coat"


def test_a_damaged_session_is_left_out(store: SessionStore) -> None:
    key = store.create(session("bag"))
    other = store.create(session("coat"))
    store.path(other, "session.json").write_text("{")
    assert keys(store) == [key]


def test_thumbnails_are_small_and_follow_their_file(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.new("RGB", (900, 600), "red").save(path)
    kind, data = thumbnail(path)
    assert kind == "image/jpeg"
    path.write_bytes(data)  # one that is small already stays as it is
    assert Image.open(path).size == (192, 128)
    assert thumbnail(path)[1] == data


def test_whole_files_are_not_kept_among_the_thumbnails(tmp_path: Path) -> None:
    before = thumbnails._small.cache_info().currsize
    for number in range(6):
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (300, 200), "red").save(path)
        assert thumbnail(path, 4096) == ("image/png", path.read_bytes())
    assert thumbnails._small.cache_info().currsize == before
    assert thumbnails._large.cache_info().currsize == 4
