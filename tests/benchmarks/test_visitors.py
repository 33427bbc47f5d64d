"""Visitors of the editor over Streamlit's protocol: against the editor itself, and against pages
that fail, whose errors they are to count."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

pytest.importorskip("streamlit", reason="the editor's extra is not installed")

from conftest import make_pipeline, picture
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.server import ServerConnection, serve

from benchmarks.load import ERROR_IN_LOG, editing, log_of
from benchmarks.visitors import visit as visits
from benchmarks.visitors.visit import Round, Tally, mistakes, strangers, visit, words_of
from benchmarks.visitors.window import FaultError, Window
from webui.page.context import enlarge

SLOW = {"width": 256, "depth": 12, "heads": 4, "feed_forward": 512}  # so that there is time to stop
ROUNDS = [Round(), Round(marks=4), Round(stop=0.0)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an editor keeps whom two visited, each of whom drew, edited and stopped."""
    folder = tmp_path_factory.mktemp("visited")
    make_pipeline(**SLOW).save_pretrained(folder / "tiny")
    return folder


async def two(url: str, folder: Path) -> Tally:
    tally = Tally()
    await asyncio.gather(*(visit(url, folder, number, ROUNDS, tally) for number in range(2)))
    return tally


def test_two_visitors_draw_edit_and_stop_and_keep_apart(folder: Path) -> None:
    with editing(folder / "out", str(folder / "tiny")) as server:
        tally = asyncio.run(two(server.url, folder / "out"))
    assert not tally.wrong
    assert not ERROR_IN_LOG.findall(log_of(folder / "out").read_text(encoding="utf-8"))
    assert len(tally.seconds_to_stop) == 2
    assert tally.pictures + tally.stopped == 2 * len(ROUNDS)
    found = {}
    for path in (folder / "out" / "sessions").glob("*/session.json"):
        session = json.loads(path.read_text(encoding="utf-8"))
        found[session["settings"]["prompt"]] = path.parent
        assert [len(one["kept"]) for one in session["pictures"][:2]] == [0, 12]
    assert sorted(found) == sorted(words_of(number) for number in range(2))
    # And were they one another's, that would be seen.
    assert not strangers(found[words_of(0)], words_of(0))
    assert len(strangers(found[words_of(0)], words_of(1))) >= 2


# Pages that fail

RUN = ForwardMsg()
RUN.metadata.run.script_run_id = "1"
RUN.new_session.page_script_hash = "page"
END = ForwardMsg(script_finished=ForwardMsg.FINISHED_SUCCESSFULLY)


def element(path: int) -> ForwardMsg:
    message = ForwardMsg()
    message.metadata.delta_path.extend([0, path])
    return message


def exception() -> ForwardMsg:
    message = element(0)
    message.delta.new_element.exception.type = "ValueError"
    message.delta.new_element.exception.message = "no such block"
    return message


def error_box() -> ForwardMsg:
    message = element(0)
    message.delta.new_element.alert.body = "no such block"
    message.delta.new_element.alert.format = message.delta.new_element.alert.ERROR
    return message


def toast() -> ForwardMsg:
    message = element(0)
    message.delta.new_element.toast.body = "no such block"
    return message


def does_not_compile() -> ForwardMsg:
    message = ForwardMsg()
    message.session_event.script_compilation_exception.message = "no such block"
    return message


FAILURES: list[Callable[[], ForwardMsg]] = [exception, error_box, toast, does_not_compile]


@asynccontextmanager
async def page(*messages: ForwardMsg, closes: bool = False) -> AsyncIterator[str]:
    """The address of a server whose every run of the page says this."""

    async def answer(socket: ServerConnection) -> None:
        async for _ in socket:
            for message in messages:
                await socket.send(message.SerializeToString())
            if closes:
                return

    async with serve(answer, "127.0.0.1", 0, subprotocols=["streamlit"]) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def visited(*messages: ForwardMsg, closes: bool = False) -> Tally:
    tally = Tally()
    async with page(*messages, closes=closes) as url:
        await visit(url, Path("none"), 0, [Round(), Round()], tally)
    return tally


@pytest.mark.parametrize("failure", FAILURES, ids=lambda one: one.__name__)
def test_an_error_in_the_page_is_counted_each_time_it_is_met(
    monkeypatch: pytest.MonkeyPatch, failure: Callable[[], ForwardMsg]
) -> None:
    monkeypatch.setattr(visits, "RESTS", 0.0)
    tally = asyncio.run(visited(RUN, failure(), END))
    assert tally.wrong.total() == 2, "one each round"
    assert "no such block" in next(iter(tally.wrong))
    assert (tally.pictures, tally.stopped) == (0, 0)


def test_a_lost_connection_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visits, "RESTS", 0.0)
    tally = asyncio.run(visited(RUN, closes=True))
    assert tally.wrong.total() == 2
    assert "the connection was lost" in next(iter(tally.wrong))


def test_a_page_that_never_comes_is_not_waited_for_for_ever() -> None:
    async def wait() -> None:
        await Window().until(lambda: False, "the page", 0.01)

    with pytest.raises(FaultError, match=r"waited 0 s for the page"):
        asyncio.run(wait())


# Pictures that are not one's own


def canvas(src: str) -> Window:
    """A page whose canvas shows something."""
    window, drawn = Window(), element(0)
    drawn.delta.new_element.bidi_component.id = "$$ID-0123-canvas"
    drawn.delta.new_element.bidi_component.json = json.dumps({"src": src})
    for message in (RUN, drawn, END):
        window.take(message)
    return window


@pytest.mark.parametrize(
    ("asked", "stay", "shown", "mistake"),
    [
        ("mine", [1, 2], "first", None),
        ("another's", [1, 2], "first", "other words"),
        ("mine", [1], "first", "other blocks"),
        ("mine", [1, 2], "second", "another picture on the canvas"),
    ],
)
def test_a_picture_that_is_not_as_asked_for_is_a_mistake(
    tmp_path: Path, asked: str, stay: list[int], shown: str, mistake: str | None
) -> None:
    for seed, name in enumerate(("first", "second")):
        picture(seed).save(tmp_path / f"{name}.png")
    window = canvas(enlarge((tmp_path / f"{shown}.png").read_bytes()))
    told = {"request": {"prompt": asked}, "kept": stay, "file": "first.png"}
    found = mistakes(window, tmp_path, told, "mine", [1, 2])
    assert len(found) == (mistake is not None)
    assert mistake is None or mistake in found[0]


# What is in the page


def button(path: int, key: str, run: str, fragment: str = "") -> list[ForwardMsg]:
    begins, drawn = ForwardMsg(), element(path)
    begins.new_session.page_script_hash = "page"
    begins.metadata.run.script_run_id = run
    begins.metadata.run.fragment_ids.extend([fragment] if fragment else [])
    drawn.delta.new_element.button.id = f"$$ID-0123-{key}"
    drawn.delta.fragment_id = fragment
    return [begins, drawn]


def test_what_a_run_does_not_draw_again_goes_at_its_end() -> None:
    window = Window()
    for message in [*button(0, "generate", "1"), *button(1, "stop", "1")[1:], END]:
        window.take(message)
    assert sorted(window.shown) == ["generate", "stop"]
    for message in button(0, "generate", "2"):
        window.take(message)
    assert sorted(window.shown) == ["generate", "stop"], "while it is under way"
    window.take(END)
    assert sorted(window.shown) == ["generate"]


def test_a_run_of_a_fragment_leaves_the_rest_of_the_page() -> None:
    window = Window()
    for message in [*button(0, "generate", "1"), *button(1, "cancel_1", "2", "queue"), END]:
        window.take(message)
    for message in [*button(2, "cancel_2", "3", "queue"), END]:
        window.take(message)
    assert sorted(window.shown) == ["cancel_2", "generate"]
    assert window.node("cancel_2").fragment == "queue"


def test_a_missing_widget_is_named_with_those_that_are_there() -> None:
    window = Window()
    for message in [*button(0, "generate", "1"), END]:
        window.take(message)
    with pytest.raises(FaultError, match=r"no widget stop, only generate"):
        window.node("stop")


def test_an_error_in_the_log_is_found_by_its_last_line() -> None:
    log = 'x\nTraceback (most recent call last):\n  File "a", line 1\n    a()\nKeyError: 1\ny\n'
    assert ERROR_IN_LOG.findall(log) == ["KeyError: 1"]
