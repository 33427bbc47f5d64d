"""What the timing of a first picture reads from pip and from cells, and how it tells it."""

from __future__ import annotations

from types import SimpleNamespace

import first_picture
import pytest

LOG = """\
Processing ./ufc_bert-0.1.0-py3-none-any.whl
Collecting einops==0.8.2 (from ufc-bert==0.1.0)
  Downloading einops-0.8.2-py3-none-any.whl.metadata (12 kB)
  Downloading einops-0.8.2-py3-none-any.whl (65 kB)
Collecting tqdm==4.70.1 (from ufc-bert==0.1.0)
  Using cached tqdm-4.70.1-py3-none-any.whl.metadata (57 kB)
Using cached tqdm-4.70.1-py3-none-any.whl (78 kB)
Requirement already satisfied: numpy in ./site-packages
Installing collected packages: tqdm, einops, ufc-bert
"""


def test_where_packages_came_from() -> None:
    assert list(first_picture.count_sources(LOG).values()) == [1, 1, 1]


def test_a_cell_that_shows_a_picture() -> None:
    text = {"output_type": "stream", "text": "fashion-192x256 on cpu"}
    shown = {"output_type": "execute_result", "data": {"image/png": "…", "text/plain": "<PIL>"}}
    assert not first_picture.shows_picture({"cell_type": "markdown", "source": "words"})
    assert not first_picture.shows_picture({"outputs": [text]})
    assert first_picture.shows_picture({"outputs": [text, shown]})


def test_the_table_adds_up() -> None:
    lines = first_picture.table({"kernel": 1.25, "first picture": 0.5}).splitlines()
    assert lines[2:] == ["| kernel | 1.2 s |", "| first picture | 0.5 s |", "| **all** | 1.8 s |"]


def test_what_fails_is_told_with_its_end(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    failed = SimpleNamespace(returncode=1, stdout="a\n", stderr="no space left\n")
    monkeypatch.setattr("subprocess.run", lambda *_, **__: failed)
    with pytest.raises(SystemExit, match=r"pip failed \(1\):\na\nno space left"):
        first_picture.run(["pip"], first_picture.ROOT)
