"""What the timing of a first picture reads from pip and from cells, and how it tells it."""

from __future__ import annotations

import sys
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
    cells = {
        "kernel": (1.25, 0.5),
        "cell 1": (1.0, 0.5),
        "cell 3": (2.0, 1.0),
        "cell 5": (0.5, 0.75),
    }
    seconds = first_picture.gathered(cells, "cell 5")
    assert first_picture.table(seconds).splitlines()[2:] == [
        "| kernel | 1.2 s | 0.5 s |",
        "| import and load | 3.0 s | 1.5 s |",
        "| first picture | 0.5 s | 0.8 s |",
        "| **all** | 4.8 s | 2.8 s |",
    ]


def test_the_time_of_a_program_is_that_of_its_processors_too() -> None:
    seconds: first_picture.Seconds = {}
    with first_picture.timed(seconds, "it", first_picture.ended_children):
        first_picture.run([sys.executable, "-c", "sum(range(10**6))"], first_picture.ROOT)
    clock, busy = seconds["it"]
    assert clock > 0 and busy > 0


def test_what_fails_is_told_with_its_end(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    failed = SimpleNamespace(returncode=1, stdout="a\n", stderr="no space left\n")
    monkeypatch.setattr("subprocess.run", lambda *_, **__: failed)
    with pytest.raises(SystemExit, match=r"pip failed \(1\):\na\nno space left"):
        first_picture.run(["pip"], first_picture.ROOT)
