"""One request from its body to its answer: prepared, queued, waited for, and given up in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from typing import TypeVar

import anyio.to_thread
import torch
from fastapi.responses import Response, StreamingResponse
from starlette.requests import Request

from ufc.requests.loading import Loaded
from ufc.serving.answers import (
    completed_event,
    event_text,
    images_answer,
    picture_answer,
    preview_event,
    size_of,
)
from ufc.serving.batching import (
    LOG,
    Batcher,
    ClosedError,
    Done,
    Event,
    Failed,
    Job,
    Preview,
    QueueFullError,
    usual_batches,
)
from ufc.serving.bodies import ImageRequest
from ufc.serving.errors import CLIENT_LEFT, ApiError, AsciiJSON, bad_input, failed, too_slow
from ufc.serving.incoming import Wanted, prepare
from ufc.serving.metrics import Metrics
from ufc.serving.settings import GRACE, TELLING, ServerSettings
from ufc_base.computing.thread_pool import temporary_thread_pool

PING = 15.0  # seconds after which a quiet stream says that it lives
AT_ONCE = 2  # requests whose pictures are opened at one time
T = TypeVar("T")


class Service:
    """What all requests share: the model, the queue before it, and the figures."""

    def __init__(self, loaded: Loaded, name: str, settings: ServerSettings) -> None:
        self.loaded = loaded
        self.name = name
        self.settings = settings
        self.metrics = Metrics()
        at_once, most = usual_batches(loaded.pipe, settings.batches_at_once, settings.max_batch)
        self.batcher = Batcher(
            loaded.pipe,
            most,
            settings.max_queue,
            settings.batch_wait,
            settings.max_canvases,
            at_once=at_once,
        )
        self.metrics.watch(self.batcher)
        # A thread cannot be ended from outside: of a request that is given up it works on, and
        # keeps its place until it is done. Each sets its number of torch's threads: at its first
        # operation it would take over what a worker has set for itself.
        self.opening = ThreadPoolExecutor(
            AT_ONCE, "ufc-opening", torch.set_num_threads, (torch.get_num_threads(),)
        )

    def start(self) -> None:
        """Begin to generate."""
        self.batcher.start()

    def stop_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stop generating shortly before connections are cut off; a signal's handler may say so."""
        wait = GRACE - TELLING
        loop.call_soon_threadsafe(loop.call_later, wait, self.batcher.close, 0.0)

    def close(self) -> None:
        """Stop: who waits is told, and what is being opened is not waited for."""
        self.opening.shutdown(wait=False, cancel_futures=True)
        self.batcher.close()

    async def serve(
        self,
        request: Request,
        read: Callable[[], Awaitable[ImageRequest]],
        kind: str,
        headers: dict[str, str],
    ) -> Response:
        """Answer a request; `kind` is `image_generation` or `image_edit`.

        Raises:
            ApiError: it cannot be read or carried out, too many wait, or its time is out.
        """
        deadline = asyncio.get_running_loop().time() + self.settings.request_timeout
        try:
            async with asyncio.timeout_at(deadline):
                body = await read()
                self.check_model(body.model)
                wanted = await self.prepared(body)
        except TimeoutError:
            raise self.out_of_time() from None
        if not body.stream:
            return await self.whole(request, wanted, body, deadline, headers)
        job, events = self.submitted(wanted, body.partial_images)
        text = self.stream(job, events, body, kind, deadline)
        return StreamingResponse(text, media_type="text/event-stream", headers=headers)

    def check_model(self, name: str | None) -> None:
        """Raise `ApiError` with status 404 where another model is asked for."""
        if name not in (None, self.name):
            raise ApiError(
                404,
                f"There is no such model here; this server has {self.name}",
                code="model_not_found",
                param="model",
            )

    async def prepared(self, body: ImageRequest) -> Wanted:
        """What a body asks for, found out beside the event loop."""
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self.opening, apart(prepare), body, self.loaded, self.settings
            )
        except ValueError as error:
            raise bad_input(error) from None

    def submitted(self, wanted: Wanted, previews: int = 0) -> tuple[Job, asyncio.Queue[Event]]:
        """A job in the queue, and where its events come out.

        Raises:
            ApiError: status 429, too many wait; 503, the server is stopping.
        """
        loop, events = asyncio.get_running_loop(), asyncio.Queue[Event]()

        def deliver(event: Event) -> None:
            with suppress(RuntimeError):  # the loop is closed, and nobody waits
                loop.call_soon_threadsafe(events.put_nowait, event)

        job = Job(wanted, deliver, previews)
        try:
            self.batcher.submit(job)
        except QueueFullError:
            waiting = self.batcher.waiting
            raise ApiError(
                429,
                f"{waiting} pictures wait already; try again later",
                code="queue_full",
                headers={"retry-after": "1"},
            ) from None
        except ClosedError as error:
            raise told(error) from None
        return job, events

    async def events(
        self, job: Job, events: asyncio.Queue[Event]
    ) -> AsyncGenerator[Event | None, None]:
        """What comes of a job until its last picture; None where it has been quiet for long.

        Raises:
            ApiError: a picture could not be generated.
        """
        left = len(job.wanted.rows)
        while left:
            try:
                event = await asyncio.wait_for(events.get(), PING)
            except TimeoutError:
                yield None
                continue
            if isinstance(event, Failed):
                raise told(event.error)
            left -= isinstance(event, Done)
            yield event

    async def whole(
        self,
        request: Request,
        wanted: Wanted,
        body: ImageRequest,
        deadline: float,
        headers: dict[str, str],
    ) -> Response:
        """All pictures in one answer, unless the client leaves before."""
        job, events = self.submitted(wanted)

        async def pictures() -> Response:
            found, size = [], ""
            async with aclosing(self.events(job, events)) as happening:
                async for event in happening:
                    if isinstance(event, Done):
                        size = size_of(event.out.images[event.place])
                        found.append(
                            await in_thread(picture_answer, event, wanted, body, self.loaded)
                        )
            answer = images_answer(found, wanted, body, self.name, size)
            return AsciiJSON(answer.model_dump(), headers=headers)

        work = asyncio.ensure_future(pictures())
        gone = asyncio.ensure_future(client_leaves(request))
        try:
            async with asyncio.timeout_at(deadline):
                await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            raise self.out_of_time() from None
        else:
            if work.done():
                return work.result()
            self.metrics.given_up.labels("client left").inc()
            return Response(status_code=CLIENT_LEFT)
        finally:
            self.batcher.cancel(job)  # nothing is left of one that is done
            for task in (work, gone):
                task.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)

    async def stream(
        self,
        job: Job,
        events: asyncio.Queue[Event],
        body: ImageRequest,
        kind: str,
        deadline: float,
    ) -> AsyncGenerator[str, None]:
        """Server-sent events: previews and pictures as they come; an error is the last of them."""
        wanted, left = job.wanted, True
        try:
            async with (
                asyncio.timeout_at(deadline),
                aclosing(self.events(job, events)) as happening,
            ):
                async for event in happening:
                    yield await self.event(event, wanted, body, kind)
            left = False
        except (TimeoutError, ApiError) as error:
            left = False
            said = error if isinstance(error, ApiError) else self.out_of_time()
            yield event_text("error", said.body)
        finally:
            self.batcher.cancel(job)
            if left:
                self.metrics.given_up.labels("client left").inc()

    async def event(
        self, event: Event | None, wanted: Wanted, body: ImageRequest, kind: str
    ) -> str:
        """An event as text."""
        if isinstance(event, Preview):
            return await in_thread(preview_event, kind, event, body)
        if isinstance(event, Done):
            picture = await in_thread(picture_answer, event, wanted, body, self.loaded)
            size = size_of(event.out.images[event.place])
            return completed_event(kind, picture, wanted, body, size)
        return ": still at work\n\n"

    def out_of_time(self) -> ApiError:
        """Status 504, counted."""
        self.metrics.given_up.labels("time was out").inc()
        return too_slow(self.settings.request_timeout)


def told(error: Exception) -> ApiError:
    """What a client is told of an error in generating."""
    if isinstance(error, ClosedError):
        return ApiError(503, "The server is stopping", code="stopping")
    if isinstance(error, ValueError):
        LOG.warning("a request could not be carried out: %s", error)
        return bad_input(error)
    LOG.error("generating failed", exc_info=error)
    return failed()


async def client_leaves(request: Request) -> None:
    """Returns when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def in_thread(function: Callable[..., T], *arguments: object) -> T:
    """Call what takes a while beside the event loop."""
    return await anyio.to_thread.run_sync(apart(function), *arguments)


def apart(function: Callable[..., T]) -> Callable[..., T]:
    """A function for threads beside the generating one: a pool of threads that stayed in them would
    slow that one down."""
    return temporary_thread_pool()(function)
