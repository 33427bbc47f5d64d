"""Who may ask, and how often."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path

from starlette.requests import Request

from ufc.io.validation import RequestError
from ufc.serving.errors import ApiError

MOST_CLIENTS = 10_000  # whose allowance is remembered


class Keys:
    """The API keys; none of them means that everybody may ask."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self.digests = [_digest(key) for key in keys]

    def check(self, request: Request) -> str | None:
        """The digest of the request's key; None where none is wanted.

        Raises:
            ApiError: status 401, a key that is missing or wrong.
        """
        if not self.digests:
            return None
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        given = _digest(key.strip())
        # All are compared, so that time tells nothing.
        right = [hmac.compare_digest(given, digest) for digest in self.digests]
        if scheme.lower() == "bearer" and any(right):
            return given
        said = "Incorrect API key" if key else "No API key"
        raise ApiError(
            401,
            f"{said}; send the header Authorization: Bearer KEY",
            code="invalid_api_key",
            headers={"www-authenticate": "Bearer"},
        )


class RateLimit:
    """So many requests a minute of each client, evenly: a bucket that fills up again.

    `limit` None is no limit.
    """

    def __init__(self, limit: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self.clock = clock
        self.buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # left, since when

    def take(self, client: str) -> dict[str, str]:
        """Count a request; returns headers that say what is left.

        Raises:
            ApiError: status 429, nothing is left.
        """
        if self.limit is None:
            return {}
        self.check(client)
        left = self.left(client, self.limit) - 1
        self.buckets[client] = (left, self.clock())
        self.buckets.move_to_end(client)
        if len(self.buckets) > MOST_CLIENTS:
            self.buckets.popitem(last=False)
        return told(self.limit, left)

    def check(self, client: str) -> None:
        """The same without counting anything."""
        if self.limit is None:
            return
        left = self.left(client, self.limit)
        if left >= 1:
            return
        self.buckets.move_to_end(client)  # who goes on asking is not forgotten
        seconds = max(1, round((1 - left) * 60 / self.limit))
        raise ApiError(
            429,
            f"More than {self.limit} requests a minute; try again in {seconds} s",
            code="rate_limit_exceeded",
            headers=told(self.limit, left) | {"retry-after": str(seconds)},
        )

    def left(self, client: str, limit: int) -> float:
        """What a client may still ask now."""
        left, since = self.buckets.get(client, (float(limit), 0.0))
        return min(float(limit), left + (self.clock() - since) * limit / 60)


def told(limit: int, left: float) -> dict[str, str]:
    """Headers that say what is left."""
    return {
        "x-ratelimit-limit-requests": str(limit),
        "x-ratelimit-remaining-requests": str(int(left)),
    }


class Gate:
    """What a request to the API goes through first.

    Wrong keys are counted by themselves: the right ones of an address cost it none of its tries.
    """

    def __init__(self, keys: Keys, limit: RateLimit) -> None:
        self.keys = keys
        self.limit = limit
        self.tries = RateLimit(limit.limit, limit.clock)

    def admit(self, request: Request) -> dict[str, str]:
        """Headers for the answer.

        Raises:
            ApiError: status 401 or 429. An address that has sent as many wrong keys as the limit
                allows is not told whether the next is right, so that guessing is slow.
        """
        address = request.client.host if request.client else "nobody"
        self.tries.check(address)
        try:
            key = self.keys.check(request)
        except ApiError:
            self.tries.take(address)
            raise
        return self.limit.take(key or address)


def read_keys(path: str | None, words: str | None) -> list[str]:
    """Keys of a file, one a line, and of a list with commas.

    Raises:
        RequestError: the file cannot be read, or has none.
    """
    found = [word.strip() for word in (words or "").split(",")]
    if path is not None:
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise RequestError(f"--api-key-file {path}: cannot be read ({error})") from None
        lines = [line.strip() for line in lines if not line.lstrip().startswith("#")]
        if not any(lines):
            raise RequestError(f"--api-key-file {path}: has no key; write one a line")
        found += lines
    return [key for key in found if key]


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()
