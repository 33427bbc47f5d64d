"""A server of the tiny model on a port of this machine, in a thread of its own."""

from __future__ import annotations

import base64
import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from PIL import Image

from ufc.requests.loading import Loaded
from ufc.serving.app import create_app
from ufc.serving.service import Service
from ufc.serving.settings import ServerSettings

PATIENCE = 60.0  # seconds


def loaded(pipe: Any) -> Loaded:
    """A pipeline as the command line has loaded it."""
    return Loaded(pipe, "tiny", {"device": "cpu", "dtype": pipe.precision}, {"ufc": "test"})


class Running:
    """A server that runs: its address, and what is inside."""

    def __init__(self, port: int, service: Service) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.service = service


@contextmanager
def running(
    pipe: Any, settings: ServerSettings | None = None, keys: tuple[str, ...] = ()
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
        thread.join(PATIENCE)


def get(url: str, **more: Any) -> Any:
    """`httpx.get` with patience for a busy machine."""
    return httpx.get(url, timeout=PATIENCE, **more)


def post(url: str, **more: Any) -> Any:
    """`httpx.post` with patience for a busy machine."""
    return httpx.post(url, timeout=PATIENCE, **more)


def sent(server: Running, **body: Any) -> socket.socket:
    """The connection of a request whose answer nobody has waited for yet."""
    data = json.dumps(body).encode()
    head = "POST /v1/images/generations HTTP/1.1", "host: here", "content-type: application/json"
    lines = [*head, f"content-length: {len(data)}", "", ""]
    connection = socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])))
    connection.sendall("\r\n".join(lines).encode() + data)
    return connection


def until(true: Callable[[], Any], seconds: float = PATIENCE) -> None:
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
