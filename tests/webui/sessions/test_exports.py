"""Zips of many pictures take what has room; contact sheets open one picture at a time."""

from __future__ import annotations

import io
import json
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from studio_helpers import begin, draw, mark

from ufc.requests.loading import ModelSettings
from webui.sessions import exports, state, uploads
from webui.sessions.state import Picture, RefusedError
from webui.sessions.studio import Studio


@pytest.fixture(scope="module")
def studio(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Studio:
    return Studio(tmp_path_factory.mktemp("out"), ModelSettings(str(model)))


@pytest.fixture(scope="module")
def key(studio: Studio) -> str:
    """A session with three pictures: an upload, an edit of it, and one from words alone."""
    key, stream = begin(studio, steps=1), io.BytesIO()
    Image.effect_noise((16, 16), 90).save(stream, "PNG")
    uploads.upload(studio, key, stream.getvalue())
    mark(studio, key, 0, 1)
    draw(studio, key)
    studio.store.update(key, lambda session: state.mark(session, ()))
    draw(studio, key)
    return key


def size_of(studio: Studio, key: str, *pictures: Picture) -> int:
    return sum(studio.store.path(key, one.best).stat().st_size for one in pictures)


def opened(data: bytes) -> tuple[set[str], list[str]]:
    """The names of pictures in a zip, and the pictures that its manifest generates again."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = {name for name in archive.namelist() if name.startswith("pictures/")}
        rows = [json.loads(line) for line in archive.read("manifest.jsonl").splitlines()]
    return names, [row["file_name"] for row in rows]


def test_everything_is_in_a_zip_that_has_room(studio: Studio, key: str) -> None:
    pictures = studio.store.load(key).pictures
    assert exports.that_fit(studio, key, pictures) == pictures
    names, rows = opened(exports.archive(studio, key, pictures))
    assert names == {one.file for one in pictures}
    assert rows == ["again-0002.png", "again-0003.png"]


def test_the_latest_come_first_with_what_they_were_made_from(
    studio: Studio, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, edit, last = pictures = studio.store.load(key).pictures

    def with_sheet(*some: Picture) -> int:
        return size_of(studio, key, *some) * 2  # the contact sheet is about as large as they are

    source = size_of(studio, key, upload)
    for room, fit in (
        (with_sheet(last), (last,)),
        (with_sheet(*pictures) - 1, (edit, last)),
        (with_sheet(edit, last) + source - 1, (upload, last)),  # what is too large makes room
        (with_sheet(upload, last), (upload, last)),
    ):
        monkeypatch.setattr(exports, "MOST_BYTES", room)
        assert exports.that_fit(studio, key, pictures) == fit
    names, rows = opened(exports.archive(studio, key, pictures))
    assert names == {upload.file, last.file}
    assert rows == ["again-0003.png"]
    monkeypatch.setattr(exports, "MOST_BYTES", 1)
    assert exports.that_fit(studio, key, pictures) == ()
    assert opened(exports.archive(studio, key, pictures)) == (set(), [])


def test_a_picture_whose_request_is_damaged_is_taken_but_not_made_again(
    studio: Studio, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, edit, last = studio.store.load(key).pictures
    damaged = replace(edit, request={"image": 5, "no_such_setting": []})
    assert not exports.can_be_made_again(studio, key, damaged)
    names, rows = opened(exports.archive(studio, key, (upload, damaged, last)))
    assert names == {upload.file, edit.file, last.file}
    assert rows == ["again-0003.png"]
    monkeypatch.setattr(exports, "MOST_BYTES", 1)
    assert exports.that_fit(studio, key, (damaged,)) == ()


def test_one_archive_is_made_at_a_time(
    studio: Studio, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures, most, now = studio.store.load(key).pictures, 0, 0

    def sheet(*given: object) -> bytes:
        nonlocal most, now
        now += 1
        most = max(most, now)
        time.sleep(0.05)
        now -= 1
        return b""

    monkeypatch.setattr(exports, "sheet", sheet)
    with ThreadPoolExecutor(3) as pool:
        made = [pool.submit(exports.archive, studio, key, pictures) for _ in range(3)]
    assert len({one.result() for one in made}) >= 1
    assert most == 1


def test_a_contact_sheet_has_all_pictures(studio: Studio, key: str) -> None:
    pictures = studio.store.load(key).pictures
    sheet = Image.open(io.BytesIO(exports.sheet(studio, key, pictures)))
    assert sheet.size == (2 * 18 + 2, 2 * 18 + 2)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, 2)
        left, upper = 2 + 18 * column, 2 + 18 * row
        cell = sheet.crop((left, upper, left + 16, upper + 16))
        image = studio.store.open_picture(key, picture.file).convert("RGB")
        assert cell.tobytes() == image.tobytes()
    with pytest.raises(RefusedError, match="no picture"):
        exports.sheet(studio, key, ())
