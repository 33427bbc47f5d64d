"""Several servers behind one address: each has the model, and what one cannot take another does.

    python examples/replicas.py --replicas 2                       # two `ufc serve` on this machine
    python examples/replicas.py --at http://10.0.0.1:8000 --at http://10.0.0.2:8000
    python examples/replicas.py --smoke       # two servers, one picture, and an end: does it run?

A request goes to the server with the fewest at work. One that does not answer is passed over for a
while, and what it was asked for is asked of another. Keys, limits and queues are each server's own.
Where nginx, HAProxy or a cloud's load balancer is at hand, take that: fewest connections, no
buffering of `text/event-stream`, and a time-out over the servers' own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
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
def started(ports: Sequence[int], flags: Sequence[str]) -> Iterator[list[str]]:
    """A `ufc serve` on each of these ports of this machine, whose cores they share; their
    addresses."""
    threads = str(max(1, (os.cpu_count() or 1) // len(ports)))
    environment = os.environ | {"OMP_NUM_THREADS": threads}
    with ExitStack() as stack:
        for port in ports:
            command = [sys.executable, "-m", "ufc", "serve", "--port", str(port), *flags]
            process = stack.enter_context(subprocess.Popen(command, env=environment))
            stack.callback(process.terminate)
        yield [f"http://127.0.0.1:{port}" for port in ports]


async def one_picture(urls: list[str], seconds: float = 180.0) -> float:
    """Wait until all servers answer, then ask for a picture through `create_app`; its compliance.

    Raises:
        TimeoutError: that took longer than so many seconds.
        RuntimeError: it was refused.
    """
    front = httpx.ASGITransport(create_app(urls))
    async with asyncio.timeout(seconds), httpx.AsyncClient(timeout=seconds) as client:
        for url in urls:
            while not await answers(client, f"{url}/health"):
                await asyncio.sleep(0.2)
        async with httpx.AsyncClient(transport=front, timeout=seconds) as client:
            body = {"prompt": "women's red handbag", "seed": 1, "num_inference_steps": 2}
            answer = await client.post("http://front/v1/images/generations", json=body)
    if answer.is_error:
        raise RuntimeError(f"{answer.status_code}: {answer.text:.500}")
    return float(answer.json()["data"][0]["compliance"])


async def answers(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).is_success
    except httpx.TransportError:
        return False


def free_ports(count: int) -> list[int]:
    """So many ports that nobody listens on."""
    with ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in found:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in found]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        epilog="Further flags, such as --model, are those of `ufc serve`.",
    )
    parser.add_argument("--replicas", type=int, default=2, help="servers to start (2)")
    parser.add_argument("--at", action="append", metavar="URL", help="a server that is there")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--smoke", action="store_true", help="one picture by two servers, then end")
    options, flags = parser.parse_known_args(arguments)
    if options.smoke:
        with started(free_ports(2), [*flags, "--quiet"]) as urls:
            compliance = asyncio.run(one_picture(urls))
        sys.stdout.write(f"{len(urls)} servers, a picture of compliance {compliance:.2f}\n")
        return 0
    ports = range(options.port + 1, options.port + 1 + options.replicas)
    with ExitStack() as stack:
        urls = options.at or stack.enter_context(started(ports, flags))
        uvicorn.run(create_app(urls), host=options.host, port=options.port)
    return 0


if __name__ == "__main__":
    sys.exit(main())
