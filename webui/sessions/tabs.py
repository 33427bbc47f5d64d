"""Which windows see and change a session: two on one notice each other."""

from __future__ import annotations

import itertools
import threading
import time

REMEMBERED = 4  # windows of a session; a reload makes a new one
MOST_SEEN = 4096  # sessions of which it is known when they were seen


class Tabs:
    """The latest change of each window to each session, as a count of all changes."""

    def __init__(self) -> None:
        self._changes: dict[str, dict[str, int]] = {}
        self._seen: dict[str, float] = {}  # when, by the monotonic clock; the last seen is the last
        self._count = itertools.count(1)
        self._lock = threading.Lock()

    def seen(self, key: str) -> None:
        """A window shows a session."""
        with self._lock:
            self._seen.pop(key, None)
            self._seen[key] = time.monotonic()
            if len(self._seen) > MOST_SEEN:
                del self._seen[next(iter(self._seen))]

    def seen_within(self, key: str, seconds: float) -> bool:
        """Whether a window showed a session in the last `seconds`."""
        with self._lock:
            return key in self._seen and time.monotonic() - self._seen[key] < seconds

    def changed(self, key: str, tab: str) -> None:
        """A window changed a session."""
        with self._lock:
            changes = self._changes.setdefault(key, {})
            changes.pop(tab, None)
            changes[tab] = next(self._count)
            for old in list(changes)[:-REMEMBERED]:
                del changes[old]

    def latest_of_others(self, key: str, tab: str) -> int:
        """The count of the last change that another window made; 0 where none did."""
        with self._lock:
            changes = self._changes.get(key, {})
            return max((count for other, count in changes.items() if other != tab), default=0)
