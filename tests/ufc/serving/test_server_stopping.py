"""A server that is told to end by a signal: who would wait for too long is told."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import make_pipeline

for _needed in ("fastapi", "uvicorn", "prometheus_client", "httpx"):
    pytest.importorskip(_needed)

import uvicorn  # noqa: E402
from toy_server import loaded, post, until  # noqa: E402

from ufc.pipeline import UFCPipeline  # noqa: E402
from ufc.serving import service  # noqa: E402
from ufc.serving.app import create_app, on_signals  # noqa: E402

NUMBERS = (signal.SIGINT, signal.SIGTERM)


class Slow:
    """A pipeline that does not begin before `go`."""

    def __init__(self, pipe: UFCPipeline) -> None:
        self.pipe = pipe
        self.begun, self.go = threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.pipe, name)

    def __call__(self, **arguments: Any) -> Any:
        self.begun.set()
        assert self.go.wait(60)
        return self.pipe(**arguments)


@pytest.fixture
def heard() -> Iterator[list[int]]:
    """Signals that the handlers from before have got."""
    found: list[int] = []
    before = {one: signal.signal(one, lambda number, _: found.append(number)) for one in NUMBERS}
    yield found
    for one, handler in before.items():
        signal.signal(one, handler)


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number.name)
def test_who_waits_is_told_before_connections_are_cut(
    number: signal.Signals,
    heard: list[int],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(service, "GRACE", 1.5)
    monkeypatch.setattr(service, "TELLING", 1.0)
    slow = Slow(make_pipeline().to("cpu", "fp32"))
    app = create_app(loaded(slow))
    batcher = app.state.service.batcher
    config = uvicorn.Config(app, "127.0.0.1", 0, log_level="warning", timeout_graceful_shutdown=60)
    server = uvicorn.Server(config)

    def ask(**more: Any) -> tuple[int, str]:
        port = server.servers[0].sockets[0].getsockname()[1]
        body = {"prompt": "bag", "num_inference_steps": 2} | more
        answer = post(f"http://127.0.0.1:{port}/v1/images/generations", json=body)
        return answer.status_code, answer.text

    def clients() -> list[tuple[int, str]]:
        until(lambda: server.started)
        with ThreadPoolExecutor(3) as pool:
            asked = [pool.submit(ask, n=2)]
            until(slow.begun.is_set)
            asked += [pool.submit(ask, guidance_scale=2.0), pool.submit(ask, stream=True)]
            until(lambda: batcher.waiting == 2)
            os.kill(os.getpid(), number)
            until(lambda: batcher.closed)
            slow.go.set()
            return [one.result() for one in asked]

    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(clients)
        server.run()  # signals are heard in the main thread alone
        found = answers.result()
    assert [status for status, _ in found] == [503, 503, 200]
    assert all('"code":"stopping"' in text.replace(" ", "") for _, text in found)
    assert found[2][1].startswith("event: error\n")
    assert heard == [number] and not caplog.records


def test_signals_do_what_they_did(heard: list[int]) -> None:
    called: list[str] = []
    handlers = [signal.getsignal(one) for one in NUMBERS]
    with on_signals(lambda: called.append("called")):
        for one in NUMBERS:
            signal.raise_signal(one)
    assert called == ["called"] * 2 and heard == list(NUMBERS)
    assert [signal.getsignal(one) for one in NUMBERS] == handlers


def test_a_signal_that_is_ignored_stays_so(heard: list[int]) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    called: list[str] = []
    with on_signals(lambda: called.append("called")):
        signal.raise_signal(signal.SIGTERM)
    assert not called and signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
