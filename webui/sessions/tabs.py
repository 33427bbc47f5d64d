"""Which windows see and change a session: two on one notice each other."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass, field

REMEMBERED = 4  # windows of a session; a reload makes a new one
MOST_SEEN = 4096  # sessions that are known of; open windows show theirs again and again


@dataclass
class _Known:
    """When a session was seen last, by the monotonic clock, and the last change of each window, as
    a count of all changes."""

    seen: float
    changes: dict[str, int] = field(default_factory=dict)


class Tabs:
    """What is known of the sessions that windows showed last."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}  # the last seen is the last
        self._count = itertools.count(1)
        self._lock = threading.Lock()

    def seen(self, key: str) -> None:
        """A window shows a session."""
        with self._lock:
            self._see(key)

    def seen_within(self, key: str, seconds: float) -> bool:
        """Whether a window showed a session in the last `seconds`."""
        with self._lock:
            return key in self._known and time.monotonic() - self._known[key].seen < seconds

    def changed(self, key: str, tab: str) -> None:
        """A window changed a session."""
        with self._lock:
            changes = self._see(key).changes
            changes.pop(tab, None)
            changes[tab] = next(self._count)
            for old in list(changes)[:-REMEMBERED]:
                del changes[old]

    def latest_of_others(self, key: str, tab: str) -> int:
        """The count of the last change that another window made; 0 where none did."""
        with self._lock:
            changes = self._known[key].changes if key in self._known else {}
            return max((count for other, count in changes.items() if other != tab), default=0)

    def _see(self, key: str) -> _Known:
        """What is known of a session, which is now the last seen; too many others are forgotten."""
        now = time.monotonic()
        known = self._known.pop(key, None) or _Known(now)
        known.seen = now
        self._known[key] = known
        if len(self._known) > MOST_SEEN:
            del self._known[next(iter(self._known))]
        return known
