"""Zips of many pictures take what has room; contact sheets open one picture at a time."""

from __future__ import annotations

import io
import json
import zipfile
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
    upload, _, last = pictures = studio.store.load(key).pictures
    for room, fit in (
        (size_of(studio, key, last), (last,)),
        (size_of(studio, key, *pictures) - 1, (upload, last)),  # what is too large makes room
        (size_of(studio, key, upload, last), (upload, last)),
    ):
        monkeypatch.setattr(exports, "MOST_BYTES", room)
        assert exports.that_fit(studio, key, pictures) == fit
    names, rows = opened(exports.archive(studio, key, pictures))
    assert names == {upload.file, last.file}
    assert rows == ["again-0003.png"]
    monkeypatch.setattr(exports, "MOST_BYTES", 1)
    assert exports.that_fit(studio, key, pictures) == ()
    assert opened(exports.archive(studio, key, pictures)) == (set(), [])


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
