"""The load of editor, server and batch: memory that cannot be compared does not pass as steady."""

from __future__ import annotations

import sys

import pytest

pytest.importorskip("streamlit", reason="the editor's extra is not installed")

from benchmarks import load
from benchmarks.load import EVERY, Watched, steady


def watched(seconds: float, grows: float = 0.0) -> Watched:
    """A process whose memory was looked at for so long, and grew by a share from half time on."""
    times = [EVERY * number for number in range(1, round(seconds / EVERY))]
    memory = [(at, 100.0 * (1 + grows * (at > seconds / 2))) for at in times]
    return Watched("batch", 1, lambda: 0, memory)


@pytest.mark.parametrize("minutes", [3, 10])
def test_growth_is_that_of_the_end_over_the_beginning(minutes: float) -> None:
    assert watched(60 * minutes).growth == 0
    assert watched(60 * minutes, 0.2).growth == pytest.approx(0.2)
    assert steady(watched(60 * minutes, 0.04))
    assert not steady(watched(60 * minutes, 0.06))


@pytest.mark.parametrize("seconds", [0, 30, 65, 120])
def test_what_ended_too_soon_is_not_steady(seconds: float) -> None:
    assert watched(seconds).growth is None
    assert not steady(watched(seconds))
    assert "ended too soon" in load.told_of(watched(seconds))


def test_too_short_a_run_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["load", "--minutes", "2.5"])
    with pytest.raises(SystemExit) as ended:
        load.main()
    assert ended.value.code == 2
    assert "got 2.5, wanted 3 or more" in capsys.readouterr().err


@pytest.mark.parametrize(("late", "share"), [(1.0, 1.0), (0.5, 0.5)])
def test_a_rate_that_falls_shows(late: float, share: float) -> None:
    one, seconds = watched(600), 600.0
    at_rates = [(at, at + (late - 1) * max(0.0, at - seconds * 3 / 4)) for at, _ in one.memory]
    one.counts = [(at, round(100 * pictures)) for at, pictures in at_rates]
    assert one.steadiness == pytest.approx(share, abs=0.05)
