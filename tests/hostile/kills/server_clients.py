"""Clients of a server, and what counts as an answer."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import threading
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from .server_requests import ServerRequest

CLIENTS = 3
HANGS = 60.0  # seconds without a word from the server, before that is a fault
# What differs between equal answers: the clock, and what company rounds in fp32, unlike the pixels.
VARIES = ("created", "created_at", "compliance", "fidelity", "b64_json")


class Clients:
    """Clients of one server, who ask it for everything, again and again until they leave.

    They begin with what has no answer yet. Answers are kept in `folder`; one that was given before,
    by this server or another, is the same.
    """

    def __init__(self, url: str, asked: list[ServerRequest], folder: Path) -> None:
        self.url = url
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.asked = sorted(asked, key=lambda one: self.place(one.name).is_file())
        self.next = cycle(self.asked)
        self.answered: set[str] = set()  # of this server
        self.cut: list[str] = []  # requests that ended in an error
        self.faults: list[str] = []
        self.leave = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.work, daemon=True) for _ in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    @property
    def have_all(self) -> bool:
        return len(self.answered) == len(self.asked)

    def join(self, seconds: float) -> None:
        """Ask for nothing more, and wait for answers, or errors, to what was asked.

        Raises:
            AssertionError: they wait on, or an answer was wrong.
        """
        self.leave.set()
        for thread in self.threads:
            thread.join(seconds)
            assert not thread.is_alive(), f"a client waits for longer than {seconds:g} s"
        assert not self.faults, "; ".join(self.faults)

    def work(self) -> None:
        """What each client does, until it leaves or the server is gone."""
        try:
            with httpx.Client(base_url=self.url, timeout=HANGS, trust_env=False) as client:
                more = self.comes_up(client)
                while more and not self.leave.is_set():
                    more = self.answer(client, next(self.next))
        except Exception as error:
            self.faults.append(f"{type(error).__name__}: {error}")

    def comes_up(self, client: httpx.Client) -> bool:
        """Wait for a server that is starting; False where it is not waited for any more."""
        while not self.leave.is_set():
            try:
                return client.get("/health").status_code == 200
            except httpx.TransportError:
                time.sleep(0.01)
        return False

    def answer(self, client: httpx.Client, one: ServerRequest) -> bool:
        """Send a request, and keep its answer; False where it ended in an error.

        Raises:
            AssertionError: neither came, or something else.
        """
        try:
            with client.stream("POST", one.path, **one.sent) as answer:
                if one.stream and answer.status_code == 200:
                    return self.events(one, answer.iter_lines())
                answer.read()
                if answer.status_code != 200:
                    return self.refused(one, answer.status_code, answer.json())
                return self.keep(one, whole(answer.json(), one.pictures))
        except httpx.TimeoutException as error:
            raise AssertionError(f"{one.name}: no word for {HANGS:g} s") from error
        except httpx.TransportError as error:  # refused, reset, or shorter than announced
            self.cut.append(f"{one.name}: {type(error).__name__}: {error}")
            return False

    def refused(self, one: ServerRequest, status: int, said: dict[str, Any]) -> bool:
        """An error in words: a server that is stopping says that, and nothing else."""
        assert (status, said["error"]["code"]) == (503, "stopping"), f"{one.name}: {status}: {said}"
        self.cut.append(f"{one.name}: {status}")
        return False

    def events(self, one: ServerRequest, lines: Iterator[str]) -> bool:
        """Keep previews and pictures as they come. A stream that ends is whole, or says why not."""
        found = []
        for line in lines:
            if not line.startswith("data: "):
                continue
            event = json.loads(line.removeprefix("data: "))
            if "error" in event:
                return self.refused(one, 503, event)
            picture = of_picture(event)
            number = event.get("partial_image_index", "picture")
            self.compare(f"{one.name}-{event['index']}-{number}", picture)
            found += [picture] if number == "picture" else []
        assert len(found) == one.pictures, f"{one.name}: a stream of {len(found)} pictures ends"
        return self.keep(one, sorted(found, key=lambda picture: picture["index"]))

    def keep(self, one: ServerRequest, answer: Any) -> bool:
        """Keep the answer to a request."""
        self.compare(one.name, answer)
        self.answered.add(one.name)
        return True

    def compare(self, name: str, answer: Any) -> None:
        """Keep an answer or a part of one, or compare it with what is kept."""
        path, said = self.place(name), json.dumps(answer, indent=1)
        with self.lock:
            if not path.is_file():
                path.write_text(said)
            assert path.read_text() == said, f"{name}: answered twice, and differently"

    def place(self, name: str) -> Path:
        return self.folder / f"{name}.json"


def whole(answer: dict[str, Any], pictures: int) -> dict[str, Any]:
    """What is the same in equal answers; all pictures are there."""
    assert len(answer["data"]) == pictures, f"{len(answer['data'])} of {pictures} pictures"
    return lasting(answer) | {"data": [of_picture(one) for one in answer["data"]]}


def of_picture(said: dict[str, Any]) -> dict[str, Any]:
    """What is the same in equal pictures, pixels by their hash; it is a whole one."""
    image = Image.open(io.BytesIO(base64.b64decode(said["b64_json"], validate=True)))
    pixels = hashlib.sha256(image.tobytes()).hexdigest()
    return lasting(said) | {"pixels": pixels, "size": image.size}


def lasting(said: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if name not in VARIES}
