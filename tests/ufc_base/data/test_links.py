"""What is followed when a data set is read: links to files, and names in metadata files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from picture_files import encode, noise

from ufc_base.data.datasets import open_dataset
from ufc_base.data.names import DataError

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links need a right of their own there")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A picture outside of the data set."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "a.png").write_bytes(encode(noise()))
    (folder / "a.txt").write_text("red bag")
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "own.png").write_bytes(encode(noise()))
    return folder


def ids(folder: Path) -> list[str]:
    found = open_dataset(folder)
    return [found[index].id for index in range(len(found))]


def test_a_linked_picture_is_read_and_a_linked_folder_is_not(data: Path, elsewhere: Path) -> None:
    (data / "linked.png").symlink_to(elsewhere / "a.png")
    (data / "linked.txt").symlink_to(elsewhere / "a.txt")
    (data / "folder").symlink_to(elsewhere)
    assert ids(data) == ["linked", "own"]
    assert open_dataset(data).record(0)["text"] == "red bag"


@pytest.mark.parametrize("name", ["../elsewhere/a.png", "{}/a.png", "folder/a.png"])
def test_metadata_names_pictures_elsewhere(data: Path, elsewhere: Path, name: str) -> None:
    (data / "folder").symlink_to(elsewhere)
    row = {"file_name": name.format(elsewhere), "text": "red bag"}
    (data / "metadata.jsonl").write_text(json.dumps(row))
    before = sorted(elsewhere.iterdir())
    assert ids(data) == ["a"]
    assert sorted(elsewhere.iterdir()) == before


def test_what_metadata_names_is_read_as_a_picture_and_as_nothing_else(
    data: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("no picture")
    (data / "metadata.jsonl").write_text(json.dumps({"file_name": "../secret"}))
    with pytest.raises(DataError) as caught:
        ids(data)
    assert "no picture" not in str(caught.value)


def test_pipes_and_devices_are_left_out(data: Path) -> None:
    os.mkfifo(data / "pipe.png")
    (data / "linked.png").symlink_to(data / "pipe.png")
    (data / "zero.png").symlink_to("/dev/zero")
    assert ids(data) == ["own"]
    row = {"file_name": "pipe.png"}
    (data / "metadata.jsonl").write_text(json.dumps(row))
    with pytest.raises(DataError, match="there is no picture"):
        ids(data)


def test_a_link_to_nothing_is_a_picture_that_cannot_be_read(data: Path) -> None:
    (data / "gone.png").symlink_to(data / "nowhere.png")
    with pytest.raises(DataError, match=r"gone\.png"):
        ids(data)
