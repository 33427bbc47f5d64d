"""The time that a run was at work, whatever pauses the process had."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from statistics import median

LAPS = 101  # the latest, whose median is a usual one
TIMES_USUAL = 5.0  # a lap counts as at most so many usual ones,
LEAST_CAP = 1.0  # or so many seconds, or the processor time that it took


class Clock:
    """Seconds at work, lap by lap; goes on from `spent` seconds after a resume.

    A process that is stopped (SIGSTOP, a suspended machine, a frozen container) does not work. It
    cannot know for how long it was, so a lap of unusual length counts as much as a few usual ones,
    or as its processor time, which no pause makes longer.
    """

    def __init__(
        self,
        max_minutes: float | None = None,
        spent: float = 0.0,
        now: Callable[[], float] = time.monotonic,
        busy: Callable[[], float] = time.process_time,
    ) -> None:
        self.max_seconds = max_minutes * 60 if max_minutes else math.inf
        self.seconds = spent
        self._now, self._busy = now, busy
        self._laps: deque[float] = deque(maxlen=LAPS)
        self._begun = now(), busy()

    def lap(self) -> float:
        """End a lap and begin the next; returns the seconds that it counts."""
        now, busy = self._now(), self._busy()
        passed, worked = now - self._begun[0], busy - self._begun[1]
        usual = median(self._laps) if self._laps else 0.0
        counted = min(passed, max(TIMES_USUAL * usual, LEAST_CAP, worked))
        self._begun = now, busy
        self._laps.append(counted)
        self.seconds += counted
        return counted

    @property
    def share(self) -> float:
        """Of the minutes that there are, what is spent, 0..1."""
        return min(1.0, self.seconds / self.max_seconds)
