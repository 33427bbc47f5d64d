"""`ufc serve`, asked by several clients: killed, started anew, and asked again."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ufc.serving.settings import GRACE

from .base import Job, whole_files
from .forked_servers import Servers
from .models import Models
from .processes import WHOLE, Process
from .server_requests import requests

INTERRUPTED = 130
ENDS = {signal.SIGKILL: (-9,), signal.SIGTERM: (-15,), signal.SIGINT: (0, INTERRUPTED)}
PORTS = range(20_000, 32_000)  # below those that the system gives to whoever connects somewhere


class KilledServer:
    """A server and its clients. It does not end before it is killed, or `finishes`.

    Both methods raise `AssertionError` for a wrong answer, or an end that is not as it should be.
    """

    def __init__(self, servers: Servers, models: Models, folder: Path, log: Path) -> None:
        self.servers = servers
        self.log = log
        from .server_clients import Clients  # needs httpx, which no other job does

        own, port = folder / "server", port_of(folder)
        own.mkdir(exist_ok=True)
        flags = ["--model", str(models.model), "--port", str(port), "--dtype", "fp32"]
        self.number = servers.start(flags, own, log)
        self.clients = Clients(f"http://127.0.0.1:{port}", requests(), folder / "answers")
        self.killed_by: signal.Signals | None = None

    def finishes(self) -> int | None:
        with self.gone_after_a_fault():
            self.answer(WHOLE, until_all=True)
            self.clients.join(GRACE)
            self.kill(signal.SIGTERM)
            self.ended()
        return 0

    def ends(self, seconds: float) -> int | None:
        with self.gone_after_a_fault():
            if self.killed_by is None:
                self.answer(seconds)
                return None
            return self.ended() or INTERRUPTED  # 0 is for where all is answered

    def kill(self, number: signal.Signals) -> None:
        self.killed_by = number
        os.kill(self.number, number)

    @contextmanager
    def gone_after_a_fault(self) -> Iterator[None]:
        """Leave no server behind where something is wrong."""
        try:
            yield
        except BaseException:
            self.clients.leave.set()
            self.servers.end()
            raise

    def answer(self, seconds: float, until_all: bool = False) -> None:
        """Let the clients ask for so long, or until they have all answers."""
        until, code = time.monotonic() + seconds, None
        while code is None and time.monotonic() < until:
            code = self.servers.next_number(0.005)
            clients = self.clients
            assert not clients.faults, "; ".join(clients.faults)
            assert code is None and not clients.cut, (
                f"cut off without a kill, exit code {code}: {clients.cut}: {tail(self.log)}"
            )
            if until_all and clients.have_all:
                return
        assert not until_all, f"not all is answered after {seconds:g} s: {tail(self.log)}"

    def ended(self) -> int:
        """The exit code of a server that was sent a signal, once the clients have seen its end."""
        assert self.killed_by is not None
        name = self.killed_by.name
        code = self.servers.next_number(GRACE)
        assert code is not None, f"{name} does not end it in {GRACE:g} s: {tail(self.log)}"
        self.clients.join(GRACE)
        assert "Traceback" not in self.log.read_text(errors="replace"), tail(self.log)
        assert code in ENDS[self.killed_by], f"{name}: exit code {code}: {tail(self.log)}"
        return code


def tail(log: Path) -> str:
    return log.read_text(errors="replace")[-600:]


def port_of(folder: Path) -> int:
    """The port of a run, which its next server listens on again."""
    place = folder / "port"
    if not place.is_file():
        rng = random.Random()
        place.write_text(str(next(filter(is_free, iter(partial(rng.choice, PORTS), None)))))
    return int(place.read_text())


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def answers(folder: Path) -> Any:
    """What was answered, by name."""
    check(folder)
    return {path.name: json.loads(path.read_text()) for path in (folder / "answers").iterdir()}


def check(folder: Path) -> None:
    """Answers are whole, and a server leaves nothing where it worked."""
    whole_files(folder)
    left = sorted(path.name for path in (folder / "server").rglob("*"))
    assert not left, f"a server has left {left}"


class Serving:
    """The job: `Servers` that all of its runs share."""

    def __init__(self, models: Models) -> None:
        self.models = models
        self.servers: Servers | None = None

    def begin(self, folder: Path, log: Path) -> Process:
        if self.servers is None or not self.servers.end.alive:
            self.servers = Servers()
        return KilledServer(self.servers, self.models, folder, log)

    def state(self, folder: Path) -> Any:
        return answers(folder)

    def check(self, folder: Path) -> None:
        check(folder)


def jobs(models: Models) -> dict[str, Job]:
    return {"server": Serving(models)}
