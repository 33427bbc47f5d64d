"""What a visitor of the editor does: writes, generates, marks, edits and sometimes stops.

All of it is over the page (`benchmarks.visitors.window`). What came of it is looked for where the
editor keeps it, in the folder of the session.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from websockets.exceptions import WebSocketException

from benchmarks.serving import PROMPTS
from benchmarks.visitors.window import FaultError, Window, opened
from ufc.io.png.metadata import read_metadata
from ufc.io.validation import RequestError
from webui.page.context import enlarge

MARKS = (0, 8, 40)  # blocks, of which an edit has so many
STOPS = 0.1  # share of the generations
RESTS = 1.0  # seconds until a visitor comes back to a page that failed


@dataclass(frozen=True)
class Round:
    """One generation: how many blocks are marked before it, of half of them at most, and how many
    seconds after it began it is stopped; None where it is not."""

    marks: int = 0
    stop: float | None = None


@dataclass
class Tally:
    """What came of all visits.

    Attributes:
        pictures, stopped: those that came, and generations that were stopped before there was one.
        wrong: errors and mix-ups in words, and how often each was seen.
        seconds_to_stop: from each press of Stop until the page was at rest.
    """

    pictures: int = 0
    stopped: int = 0
    wrong: Counter[str] = field(default_factory=Counter)
    seconds_to_stop: list[float] = field(default_factory=list)


def rounds(number: int, until: float) -> Iterator[Round]:
    """What visitor `number` does until a time: made up, the same each time."""
    rng = random.Random(number)
    while time.monotonic() < until:
        yield Round(rng.choice(MARKS), rng.random() if rng.random() < STOPS else None)


def words_of(number: int) -> str:
    """What a visitor asks for, and no other."""
    return f"{PROMPTS[number % len(PROMPTS)]} {number}"


async def visit(url: str, folder: Path, number: int, todo: Iterable[Round], tally: Tally) -> None:
    """One visitor of the editor at `url`, which keeps its sessions in `folder`. Who meets an error
    comes back to the session."""
    query, words, left = "", words_of(number), iter(todo)
    rng = random.Random(number)
    for one in left:
        try:
            query = query or await own_session(url)
            async with opened(url, query) as window:
                query = await enter(window, words)
                for now in itertools.chain([one], left):
                    await generate(window, session_of(folder, query), words, now, rng, tally)
        except (FaultError, OSError, WebSocketException) as fault:
            tally.wrong[str(fault)] += 1
            await asyncio.sleep(RESTS)
    if query:
        tally.wrong.update(strangers(session_of(folder, query), words))


async def own_session(url: str) -> str:
    """The query of the address of a new session. The page begins one where there is none yet; else
    it shows those that there are, and the way to a new one."""
    async with opened(url) as window:
        await window.until(lambda: {"cards", "canvas"} & {*window.shown}, "the start page")
        if "canvas" in window.shown:
            return window.query
        return str(window.data("cards")["items"][0]["href"]).removeprefix("?")


async def enter(window: Window, words: str) -> str:
    """Wait for the page, and for what is under way there, and write the words; gives the query of
    the session's address."""
    await window.until(
        lambda: "canvas" in window.shown and "stop" not in window.shown, "a page at rest"
    )
    await window.write("setting_prompt", words)
    return window.query


def session_of(folder: Path, query: str) -> Path:
    """Where the editor keeps the session of an address, which may not be one yet."""
    return folder / "sessions" / parse_qs(query).get("s", [""])[0]


async def generate(
    window: Window, session: Path, words: str, one: Round, rng: random.Random, tally: Tally
) -> None:
    """Mark blocks of the picture that is there, generate, and look at what came.

    Raises:
        FaultError: the page shows an error, or is not at rest in time.
    """
    before, board = pictures(session), window.data("canvas")
    cells = board["rows"] * board["columns"]
    some = rng.sample(range(cells), min(one.marks, cells // 2)) if before else []
    marks = sorted(some)
    if marks != board["marks"]:
        await window.act("canvas", "marks", marks)
        await window.until(lambda: window.data("canvas")["marks"] == marks, "the marks")
    await window.press("generate")
    await window.until(
        lambda: "stop" in window.shown or len(pictures(session)) > len(before), "a beginning"
    )
    pressed = await stop(window, one.stop)
    await window.until(lambda: "stop" not in window.shown, "a picture")
    if pressed:
        tally.seconds_to_stop.append(time.monotonic() - pressed)
    came = pictures(session)[len(before) :]
    if pressed and not came:
        tally.stopped += 1
    elif len(came) != 1:
        tally.wrong[f"{len(came)} pictures of one generation"] += 1
    else:
        tally.pictures += 1
        kept = sorted({*range(cells)} - {*marks}) if marks else []
        tally.wrong.update(mistakes(window, session, came[0], words, kept))


async def stop(window: Window, seconds: float | None) -> float | None:
    """Press Stop so many seconds later, where there still is something to stop; gives when."""
    if seconds is None:
        return None
    await asyncio.sleep(seconds)
    if "stop" not in window.shown:
        return None
    pressed = time.monotonic()
    await window.press("stop")
    return pressed


def mistakes(
    window: Window, session: Path, picture: dict[str, Any], words: str, kept: list[int]
) -> list[str]:
    """What of a new picture is not as it was asked for: its words, the blocks that were to stay,
    and what the canvas shows."""
    found = []
    if picture["request"].get("prompt") != words:
        found.append("a picture of other words")
    if sorted(picture["kept"]) != kept:
        found.append("an edit of other blocks")
    if window.data("canvas")["src"] != enlarge((session / picture["file"]).read_bytes()):
        found.append("another picture on the canvas")
    return found


def pictures(session: Path) -> list[dict[str, Any]]:
    """The pictures of a session, as the editor wrote them down."""
    return list(json.loads((session / "session.json").read_text(encoding="utf-8"))["pictures"])


def strangers(session: Path, words: str) -> list[str]:
    """Picture files in a session's folder that say they are of other words, or say nothing."""
    found = []
    for file in sorted(session.glob("pictures/*.png")):
        try:
            said = read_metadata(file).request or {}
        except RequestError as error:
            found.append(str(error))
            continue
        asked = said.get("request", {}).get("prompt")
        if asked != words:
            found.append(f"a file of the words {asked!r} in the session of {words!r}")
    return found
