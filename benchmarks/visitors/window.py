"""A window with a Streamlit page, without a browser.

Speaks what Streamlit's front end speaks: protocol buffers over a websocket. As there, what a run of
the page did not draw again goes when the run has ended, and a fragment that wants to run every so
often is asked to. Other than there, states are sent only of widgets that were touched here; of the
others Streamlit goes by what it holds itself.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from streamlit.proto.Alert_pb2 import Alert
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.Delta_pb2 import Delta
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState, WidgetStates
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

PATIENCE = 600.0  # seconds; nothing takes as long, but many may wait, on a busy machine
EVENTS = "$$STREAMLIT_INTERNAL_KEY_{}__events"  # id of the events of a component with an id

Path = tuple[int, ...]


class FaultError(Exception):
    """The page is not as it should be: what it says, or what was waited for in vain."""


@dataclass(frozen=True)
class Node:
    """A place in the page: the run that drew it, the fragment it is of, and its element; None for a
    container."""

    run: str
    fragment: str
    element: Element | None

    @property
    def id(self) -> str:
        """The id of its widget; empty where it is none."""
        if self.element is None:
            return ""
        return str(getattr(getattr(self.element, kind(self.element)), "id", ""))

    @property
    def key(self) -> str:
        """The key that the page gave its widget, which ends the id; empty where it has none."""
        return self.id.split("-", 2)[2] if self.id.count("-") > 1 else ""


class Window:
    """A page, and what is done in it.

    Attributes:
        query: what follows the `?` of its address; the page may change it.
        shown: its widgets by their keys, as the last run that came to its end left them.
        faults: exceptions, boxes with an error and messages that it showed, each once.
    """

    def __init__(self, socket: ClientConnection | None = None, query: str = "") -> None:
        self.socket, self.query = socket, query
        self.shown: dict[str, Node] = {}
        self.faults: list[str] = []
        self._tree: dict[Path, Node] = {}
        self._states: dict[str, WidgetState] = {}
        self._run, self._fragments, self._script = "", frozenset[str](), ""
        self._timers: dict[str, asyncio.Task[None]] = {}
        self._moved = asyncio.Event()

    # What a visitor does

    async def press(self, key: str) -> None:
        """Press a button."""
        node = self.node(key)
        await self._send(node.fragment, WidgetState(id=node.id, trigger_value=True))

    async def write(self, key: str, text: str) -> None:
        """Write into a field for text, and leave it."""
        node = self.node(key)
        self._states[node.id] = WidgetState(id=node.id, string_value=text)
        await self._send(node.fragment)

    async def act(self, key: str, event: str, value: object) -> None:
        """Have a component say that something was done in it."""
        node = self.node(key)
        told = json.dumps([{"event": event, "value": value}])
        id = EVENTS.format(node.id)
        await self._send(node.fragment, WidgetState(id=id, json_trigger_value=told))

    async def until(self, true: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
        """Wait until something is true of the page as a run left it.

        Raises:
            FaultError: the page shows an error, its connection is lost, or it was waited in vain.
        """
        try:
            async with asyncio.timeout(seconds):
                while not self.faults and not true():
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            raise FaultError(f"waited {seconds:.0f} s for {what}") from None
        if self.faults:
            raise FaultError("; ".join(self.faults))

    # What a visitor sees

    def node(self, key: str) -> Node:
        """The widget with a key. Raises `FaultError` where there is none."""
        if key not in self.shown:
            raise FaultError(f"the page has no widget {key}, only {', '.join(sorted(self.shown))}")
        return self.shown[key]

    def data(self, key: str) -> dict[str, Any]:
        """What a component is given."""
        element = self.node(key).element
        return {} if element is None else dict(json.loads(element.bidi_component.json))

    # What the server says

    def take(self, message: ForwardMsg) -> None:
        """A message of the server."""
        name = message.WhichOneof("type")
        if name == "new_session":
            self._run = message.metadata.run.script_run_id
            self._fragments = frozenset(message.metadata.run.fragment_ids)
            self._script = message.new_session.page_script_hash
            if not self._fragments:
                self._stop(*self._timers)
        elif name == "delta":
            self._draw(tuple(message.metadata.delta_path), message.delta)
        elif name == "script_finished":
            self._finish(message.script_finished)
        elif name == "page_info_changed":
            self.query = message.page_info_changed.query_string
        elif name == "auto_rerun" and message.auto_rerun.fragment_id not in self._timers:
            again = self._again(message.auto_rerun.fragment_id, message.auto_rerun.interval)
            self._timers[message.auto_rerun.fragment_id] = asyncio.create_task(again)
        elif name == "stop_auto_rerun":
            self._stop(*message.stop_auto_rerun.fragment_ids)
        elif name == "session_event" and message.session_event.HasField(
            "script_compilation_exception"
        ):
            self._fail(message.session_event.script_compilation_exception.message)

    def _draw(self, path: Path, delta: Delta) -> None:
        """An element or a container comes to a place; an element has nothing inside it."""
        if delta.WhichOneof("type") == "add_block":
            self._tree[path] = Node(self._run, delta.fragment_id, None)
        elif delta.WhichOneof("type") == "new_element":
            for inner in [one for one in self._tree if one[: len(path)] == path]:
                del self._tree[inner]
            node = Node(self._run, delta.fragment_id, delta.new_element)
            self._tree[path] = node
            if fault := fault_in(delta.new_element):
                self._fail(fault)
            area = delta.new_element.text_area
            if area.set_value and node.id in self._states:
                self._states[node.id].string_value = area.value

    def _finish(self, status: int) -> None:
        """A run has ended: what it did not draw again is gone."""
        if status == ForwardMsg.FINISHED_EARLY_FOR_RERUN:
            return
        if status == ForwardMsg.FINISHED_WITH_COMPILE_ERROR:
            self._fail("the page could not be compiled")
        for path, node in [*self._tree.items()]:
            drawn = not self._fragments or node.fragment in self._fragments
            if drawn and node.run != self._run:
                del self._tree[path]
        self.shown = {node.key: node for node in self._tree.values() if node.key}
        ids = {node.id for node in self.shown.values()}
        self._states = {id: state for id, state in self._states.items() if id in ids}
        self._moved.set()

    def _fail(self, fault: str) -> None:
        if fault not in self.faults:
            self.faults.append(fault)
        self._moved.set()

    # Both ways

    async def start(self) -> None:
        """Ask for the page for the first time."""
        await self._send("")

    async def read(self) -> None:
        """Take what the server says, until the connection is closed."""
        assert self.socket is not None
        try:
            while True:
                self.take(ForwardMsg.FromString(await self.socket.recv(decode=False)))
        except ConnectionClosed as closed:
            self._fail(f"the connection was lost: {closed}")

    def leave(self) -> None:
        """Ask for nothing any more."""
        self._stop(*self._timers)

    async def _send(self, fragment: str, *once: WidgetState, by_itself: bool = False) -> None:
        """Have the page, or a fragment of it, run with the states of the widgets."""
        if self.socket is None:
            return
        state = ClientState(
            query_string=self.query,
            widget_states=WidgetStates(widgets=[*self._states.values(), *once]),
            page_script_hash=self._script,
            fragment_id=fragment,
            is_auto_rerun=by_itself,
        )
        await self.socket.send(BackMsg(rerun_script=state).SerializeToString())

    async def _again(self, fragment: str, seconds: float) -> None:
        """Have a fragment run every so often."""
        with suppress(ConnectionClosed):
            while True:
                await asyncio.sleep(seconds)
                await self._send(fragment, by_itself=True)

    def _stop(self, *fragments: str) -> None:
        for fragment in fragments:
            if fragment in self._timers:
                self._timers.pop(fragment).cancel()


@asynccontextmanager
async def opened(url: str, query: str = "") -> AsyncIterator[Window]:
    """A window with the page at an address, `http://…`, which has begun to load."""
    address = f"{url.replace('http', 'ws', 1)}/_stcore/stream"
    # No limit to a message and no pings: as a browser has it.
    async with connect(
        address,
        subprotocols=[Subprotocol("streamlit")],
        max_size=None,
        ping_interval=None,
        proxy=None,
    ) as socket:
        window = Window(socket, query)
        reading = asyncio.create_task(window.read())
        try:
            await window.start()
            yield window
        finally:
            window.leave()
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading


def kind(element: Element) -> str:
    """The name of the field that an element is in."""
    return str(element.WhichOneof("type"))


def fault_in(element: Element) -> str:
    """What is wrong, where an element says so; messages that come and go say nothing else to those
    who only write, mark, generate and stop."""
    if kind(element) == "exception":
        return f"{element.exception.type}: {element.exception.message}"
    if kind(element) == "alert" and element.alert.format == Alert.ERROR:
        return str(element.alert.body)
    return str(element.toast.body) if kind(element) == "toast" else ""
