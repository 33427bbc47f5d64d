"""A server of the tiny model on a port of this machine, in a thread of its own."""

from __future__ import annotations

import base64
import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from PIL import Image

from ufc.cli.generating.model_choice import Loaded
from ufc.pipeline import UFCPipeline
from ufc.serving.app import create_app
from ufc.serving.service import Service
from ufc.serving.settings import ServerSettings


def loaded(pipe: UFCPipeline) -> Loaded:
    """A pipeline as the command line has loaded it."""
    return Loaded(pipe, "tiny", {"device": "cpu", "dtype": pipe.precision}, {"ufc": "test"})


class Running:
    """A server that runs: its address, and what is inside."""

    def __init__(self, port: int, service: Service) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.service = service


@contextmanager
def running(
    pipe: UFCPipeline, settings: ServerSettings | None = None, keys: tuple[str, ...] = ()
) -> Iterator[Running]:
    """A server while the context lasts."""
    app = create_app(loaded(pipe), settings, keys)
    config = uvicorn.Config(app, "127.0.0.1", 0, log_level="warning", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started or not thread.is_alive())
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Running(port, app.state.service)
    finally:
        server.should_exit = True
        thread.join(10)


def until(true: Callable[[], Any], seconds: float = 10.0) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.002)


def picture_of(data: str) -> Image.Image:
    """A picture of an answer."""
    return Image.open(io.BytesIO(base64.b64decode(data)))


def png(image: Image.Image) -> bytes:
    """A picture as a file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def b64(image: Image.Image) -> str:
    """A picture in base64."""
    return base64.b64encode(png(image)).decode()
