"""What `/metrics` says, for Prometheus, and what counts requests."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ufc.serving.batching import Batcher
from ufc.serving.errors import CLIENT_LEFT

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 120)
_PICTURES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The figures of one server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self.requests = Counter(
            "ufc_requests", "Requests answered.", ("endpoint", "status"), registry=own
        )
        self.seconds = Histogram(
            "ufc_request_seconds", "Until the answer is out.", ("endpoint",), registry=own,
            buckets=_SECONDS,
        )  # fmt: skip
        self.pictures = Counter("ufc_pictures", "Pictures generated.", registry=own)
        self.batch = Histogram(
            "ufc_batch_pictures", "Pictures generated together.", registry=own, buckets=_PICTURES
        )
        self.batch_seconds = Histogram(
            "ufc_batch_seconds", "Time of a batch.", registry=own, buckets=_SECONDS
        )
        self.given_up = Counter(
            "ufc_given_up", "Requests given up: time was out, or the client left.", ("why",),
            registry=own,
        )  # fmt: skip

    def watch(self, batcher: Batcher) -> None:
        """Say of a batcher how many pictures wait and are being generated."""
        batcher.on_batch = self.count_batch
        for name, help, value in (
            ("ufc_pictures_waiting", "Pictures in the queue.", lambda: batcher.waiting),
            ("ufc_pictures_running", "Pictures being generated.", lambda: batcher.running),
        ):
            Gauge(name, help, registry=self.registry).set_function(value)

    def count_batch(self, pictures: int, seconds: float) -> None:
        """Count a batch that is finished."""
        self.pictures.inc(pictures)
        self.batch.observe(pictures)
        self.batch_seconds.observe(seconds)

    def count_request(self, endpoint: str, status: int, seconds: float) -> None:
        """Count a request that is answered."""
        self.requests.labels(endpoint, str(status)).inc()
        self.seconds.labels(endpoint).observe(seconds)

    def text(self) -> bytes:
        """All of it as Prometheus reads it."""
        return generate_latest(self.registry)


class Counted:
    """Counts requests and their time by endpoint and status."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.monotonic(), CLIENT_LEFT

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            route = scope.get("route")  # its template, so that addresses make no endless labels
            endpoint = getattr(route, "path", "other")
            self.metrics.count_request(endpoint, status, time.monotonic() - started)
