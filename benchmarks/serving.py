"""What serving many at once gains: `python -m benchmarks.serving`.

Starts `ufc serve` one picture at a time, in batches one after the other, and as it comes, and asks
all for pictures from 1, 8 and 32 clients at once, in turns. `--soak SECONDS` keeps 8 clients at it
for so long instead, and tells errors and memory. Only on an idle machine are times worth anything;
on a busy one the seconds that processors work for a picture still are.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import httpx

from benchmarks.reports import write_report
from ufc.benchmark import machine
from ufc.io.hub import DEFAULT_MODEL

CLIENTS = (1, 8, 32)
WAYS = {
    "one at a time": "--max-batch 1 --batches-at-once 1",
    "batches in turn": "--batches-at-once 1",
    "as it comes": "",
}
PROMPTS = ("women's red handbag", "men's navy blue striped t-shirt", "女士粉色上衣", "black heels")


@dataclass(frozen=True)
class Server:
    """A server that runs: its address and its process."""

    url: str
    pid: int

    @property
    def memory(self) -> float:
        """MiB that are its own."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8").splitlines()
        line = next(line for line in status if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024

    @property
    def cpu(self) -> float:
        """Seconds that processors have worked for it."""
        text = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8")
        user, system = text.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--requests", type=int, default=64, help="of each measurement, at least")
    parser.add_argument("--rounds", type=int, default=2, help="the best of so many is told")
    parser.add_argument(
        "--flags", action="append", default=[], help="measure one more, with these flags of its own"
    )
    parser.add_argument("--best-of", type=int, default=None, help="as the model says otherwise")
    parser.add_argument("--soak", type=float, default=None, metavar="SECONDS")
    parser.add_argument("--output", type=Path, default=None)
    options = parser.parse_args()
    flags = ["--model", options.model, "--dtype", options.dtype]
    body = {} if options.best_of is None else {"best_of": options.best_of}
    if options.soak is not None:
        with serving(flags) as server:
            return soak(server, options.soak, body)
    rows = []
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(serving([*flags, *own.split()]))
            for name, own in (WAYS | {own: own for own in options.flags}).items()
        }
        for clients in CLIENTS:
            found = measure(servers, clients, options.requests, options.rounds, body)
            base = found[0]["pictures_per_second"]
            for row in found:
                rows.append(row | {"times": round(row["pictures_per_second"] / base, 2)})
                print(told(rows[-1]), flush=True)
    if options.output:
        write_report(options.output, {"machine": machine(), "rows": rows})
    return 0


def measure(
    servers: dict[str, Server], clients: int, requests: int, rounds: int, body: dict[str, Any]
) -> list[dict[str, Any]]:
    """A row for each server, its best round; the servers take turns."""
    best: dict[str, dict[str, Any]] = {}
    for _ in range(rounds):
        for name, server in servers.items():
            count = max(clients, requests if clients > 1 else requests // 4)
            started, worked = time.monotonic(), server.cpu
            times, failed = asyncio.run(load(server.url, clients, count, body))
            rate = round((len(times) - failed) / (time.monotonic() - started), 3)
            row = {
                "name": name,
                "clients": clients,
                "requests": count,
                "failed": failed,
                "pictures_per_second": rate,
                "cpu_seconds": round((server.cpu - worked) / count, 3),
                "median": round(statistics.median(times), 3),
                "p95": round(percentile(times, 0.95), 3),
            }
            if name not in best or rate > best[name]["pictures_per_second"]:
                best[name] = row
    return list(best.values())


async def load(
    url: str, clients: int, requests: int | None, body: dict[str, Any], until: float = 0.0
) -> tuple[list[float], int]:
    """Seconds of each request, and how many failed or were answered with another one's picture: so
    many in all, or until a time."""
    numbers, times, failed = itertools.count(), [], 0
    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(base_url=url, timeout=300, limits=limits) as client:

        async def visit() -> None:
            nonlocal failed
            for number in numbers:
                if requests is None and time.monotonic() > until:
                    return
                if requests is not None and number >= requests:
                    return
                ask = {"prompt": PROMPTS[number % len(PROMPTS)], "seed": number, **body}
                started = time.monotonic()
                answer = await client.post("/v1/images/generations", json=ask)
                times.append(time.monotonic() - started)
                failed += answer.status_code != 200 or seed_of(answer) != number

        await asyncio.gather(*(visit() for _ in range(clients)))
    return times, failed


def seed_of(answer: httpx.Response) -> int:
    """The seed of an answer's picture: that of another request would be a mix-up."""
    return int(answer.json()["data"][0]["seed"])


def soak(server: Server, seconds: float, body: dict[str, Any]) -> int:
    """Load of 8 clients for so long; 1 where a request failed or memory grew by 5 %."""
    first = min(60.0, seconds / 2)
    times: list[float] = []
    memory: list[float] = []
    failed = 0
    for part in (first, seconds - first):
        some, wrong = asyncio.run(load(server.url, 8, None, body, time.monotonic() + part))
        times, failed = times + some, failed + wrong
        memory.append(server.memory)
        print(f"after {part:.0f} s more: {memory[-1]:.0f} MiB", flush=True)
    growth = memory[1] / memory[0] - 1
    print(
        f"{len(times)} requests, {failed} failed, p95 {percentile(times, 0.95):.2f} s, "
        f"memory {growth:+.1%} since the first minute"
    )
    return int(failed > 0 or growth > 0.05)


def percentile(times: Sequence[float], share: float) -> float:
    """The time within which this share of requests was answered."""
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def told(row: dict[str, Any]) -> str:
    """A row as a line of text."""
    return (
        f"{row['clients']:>3} clients, {row['name']:<18} {row['pictures_per_second']:6.2f} "
        f"pictures/s ({row['times']:.2f}), median {row['median']:.2f} s, p95 {row['p95']:.2f} s, "
        f"{row['cpu_seconds']:.2f} s of a processor each, "
        f"{row['failed']} of {row['requests']} failed"
    )


@contextmanager
def serving(flags: Sequence[str]) -> Iterator[Server]:
    """`ufc serve` in a process of its own."""
    port = free_port()
    command = [sys.executable, "-m", "ufc", "serve", "--quiet", "--port", str(port), *flags]
    with started(port, command, "/health") as server:
        yield server


@contextmanager
def started(
    port: int, command: Sequence[str], health: str, log: IO[bytes] | None = None
) -> Iterator[Server]:
    """A program that serves a port of this machine, from when it answers at `health`; what it
    prints goes to `log`, if there is one."""
    environment = os.environ | {"UFC_API_KEYS": ""}
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}{health}", process)
        yield Server(url, process.pid)
    finally:
        process.terminate()
        process.wait(40)


def wait_for(url: str, process: subprocess.Popen[bytes], seconds: float = 120.0) -> None:
    """Returns when the server answers there; `RuntimeError` where it does not."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with suppress(httpx.TransportError):
            if httpx.get(url).status_code == 200:
                return
        time.sleep(0.1)
    raise RuntimeError("the server did not start")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main())
