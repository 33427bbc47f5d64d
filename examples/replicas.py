"""Several servers behind one address: each has the model, and what one cannot take another does.

    python examples/replicas.py --replicas 2                       # two `ufc serve` on this machine
    python examples/replicas.py --at http://10.0.0.1:8000 --at http://10.0.0.2:8000

A request goes to the server with the fewest at work. One that does not answer is passed over for a
while, and what it was asked for is asked of another. Keys, limits and queues are each server's own.
Where nginx, HAProxy or a cloud's load balancer is at hand, take that: fewest connections, no
buffering of `text/event-stream`, and a time-out over the servers' own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

PASSED_OVER = 5.0  # seconds
OF_THE_CONNECTION = ("connection", "keep-alive", "transfer-encoding", "host", "content-length")


@dataclass
class Replica:
    """A server: how many requests it has at work, and until when it is passed over."""

    url: str
    at_work: int = 0
    down_until: float = 0.0


def create_app(urls: list[str], seconds: float = 300.0) -> Starlette:
    """The address in front of the servers; an answer may take so many seconds."""
    replicas = [Replica(url.rstrip("/")) for url in urls]
    client = httpx.AsyncClient(timeout=httpx.Timeout(seconds, connect=5.0))

    async def forward(request: Request) -> Response:
        body = await request.body()
        now = time.monotonic()
        for replica in sorted(replicas, key=lambda one: (one.down_until > now, one.at_work)):
            replica.at_work += 1
            try:
                answer = await client.send(
                    client.build_request(
                        request.method,
                        f"{replica.url}{request.url.path}",
                        params=request.query_params,
                        headers=passed_on(request.headers.items()),
                        content=body,
                    ),
                    stream=True,
                )
            except httpx.TransportError:  # nothing of an answer has come: another one may give it
                replica.at_work -= 1
                replica.down_until = time.monotonic() + PASSED_OVER
                continue
            return StreamingResponse(
                told(answer, replica), answer.status_code, passed_on(answer.headers.items())
            )
        error = {"message": "no server answers; try again later", "type": "server_error"}
        return JSONResponse({"error": error}, 503)

    return Starlette(routes=[Route("/{path:path}", forward, methods=["GET", "POST"])])


async def told(answer: httpx.Response, replica: Replica) -> AsyncIterator[bytes]:
    """An answer as it comes; then its server has one less at work."""
    try:
        async for part in answer.aiter_raw():
            yield part
    finally:
        replica.at_work -= 1
        await answer.aclose()


def passed_on(headers: list[tuple[str, str]]) -> dict[str, str]:
    """Headers without those that are of one connection alone."""
    return {name: value for name, value in headers if name.lower() not in OF_THE_CONNECTION}


@contextmanager
def started(count: int, first_port: int, flags: list[str]) -> Iterator[list[str]]:
    """So many `ufc serve` on this machine, which share its cores; their addresses."""
    threads = str(max(1, (os.cpu_count() or 1) // count))
    environment = os.environ | {"OMP_NUM_THREADS": threads}
    urls = []
    with ExitStack() as stack:
        for port in range(first_port, first_port + count):
            command = [sys.executable, "-m", "ufc", "serve", "--port", str(port), *flags]
            process = stack.enter_context(subprocess.Popen(command, env=environment))
            stack.callback(process.terminate)
            urls.append(f"http://127.0.0.1:{port}")
        yield urls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--replicas", type=int, default=2, help="servers to start (2)")
    parser.add_argument("--at", action="append", metavar="URL", help="a server that is there")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options, flags = parser.parse_known_args()  # what is left is for `ufc serve`
    with ExitStack() as stack:
        urls = options.at or stack.enter_context(started(options.replicas, options.port + 1, flags))
        uvicorn.run(create_app(urls), host=options.host, port=options.port)


if __name__ == "__main__":
    main()
