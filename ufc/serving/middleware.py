"""What lies around every request: a limit of its size, and its part of the metrics."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ufc.serving.errors import ApiError
from ufc.serving.metrics import Metrics

CLIENT_LEFT = 499  # as nginx counts requests whose client did not wait


class BodyLimit:
    """Refuses bodies of more than so many bytes, said or not, with status 413."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self.app = app
        self.most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        said = dict(scope["headers"]).get(b"content-length", b"0")
        if said.isdigit() and int(said[:20]) > self.most:
            await self.too_large().answer()(scope, receive, send)
            return
        got = 0

        async def counted() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            if got > self.most:
                raise self.too_large()
            return message

        await self.app(scope, counted, send)

    def too_large(self) -> ApiError:
        most = f"{self.most / 2**20:g} MiB"
        return ApiError(413, f"The request is larger than {most}", code="request_too_large")


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
