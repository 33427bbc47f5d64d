"""Dynamic batching: pictures that may be generated together are, in one thread or in several.

What waits longest goes first, and takes along whatever has equal settings and size. Nothing else
of its company changes a picture: as much as its precision promises that at all (`--deterministic`).

On a CPU several small batches at once, each on its share of torch's threads, are faster than large
ones in turn on all: a picture's operations are too small to be shared out well.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image

from ufc.io.batch_plan import batch_settings
from ufc.pipeline import UFCPipeline
from ufc.pipeline_output import PipelineOutput
from ufc.request import Row
from ufc.serving.incoming import Wanted

LOG = logging.getLogger(__name__)
HELD_PIXELS = 2**28  # of pictures that wait, about 800 MB
MOST_AT_ONCE = 4  # batches, unless told; the interpreter works for one of them at a time
LARGE, SMALL = 8, 2  # pictures of a batch that is alone, and of one of several


class QueueFullError(Exception):
    """As many pictures wait as may."""


class ClosedError(Exception):
    """The server is stopping."""


@dataclass(frozen=True)
class Preview:
    """Picture `index` of a request after a step, the `number`th that is shown of it."""

    index: int
    number: int
    image: Image.Image


@dataclass(frozen=True)
class Done:
    """Picture `index` of a request is number `place` of an output."""

    index: int
    row: Row
    out: PipelineOutput
    place: int


@dataclass(frozen=True)
class Failed:
    """A picture could not be generated, and so the request cannot be served."""

    error: Exception


Event = Preview | Done | Failed


@dataclass(eq=False)
class Job:
    """A request that waits or is being served; `deliver` is called in a generating thread."""

    wanted: Wanted
    deliver: Callable[[Event], None]
    previews: int = 0
    cancelled: bool = False

    @property
    def preview_steps(self) -> list[int]:
        """The steps after which a preview is shown, evenly over all but the last."""
        steps = self.wanted.steps
        places = [(k + 1) * steps // (self.previews + 1) - 1 for k in range(self.previews)]
        return sorted({place for place in places if 0 <= place < steps - 1})


@dataclass(frozen=True, eq=False)
class Unit:
    """One picture of a job."""

    job: Job
    row: Row

    @property
    def index(self) -> int:
        return self.row.picture.index


@dataclass
class Batcher:
    """The queue before one pipeline, and the threads that work it off.

    Attributes:
        max_batch: pictures that are generated together, at most.
        max_canvases: canvases of theirs, at most, but for those of a single picture.
        max_queue: pictures that may wait.
        wait: seconds that a picture waits for company where nothing is being generated.
        on_batch: told how many pictures were generated together, and in how many seconds.
        at_once: batches that are generated at the same time; they share torch's threads evenly.
    """

    pipe: UFCPipeline
    max_batch: int = 8
    max_queue: int = 64
    wait: float = 0.01
    max_canvases: int = 64
    on_batch: Callable[[int, float], None] = lambda pictures, seconds: None
    at_once: int = 1
    running: int = 0
    closed: bool = False
    _queue: deque[Unit] = field(default_factory=deque)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _workers: list[threading.Thread] = field(default_factory=list)
    _busy: int = 0
    _threads: int = field(default_factory=torch.get_num_threads)

    @property
    def waiting(self) -> int:
        """Pictures that wait."""
        return len(self._queue)

    @property
    def healthy(self) -> bool:
        """Whether what is submitted will be worked off."""
        alive = [worker.is_alive() for worker in self._workers]
        return not self.closed and bool(alive) and all(alive)

    def start(self) -> None:
        """Begin to work."""
        self._workers = [
            threading.Thread(target=self._work, name=f"ufc-serve-{number}", daemon=True)
            for number in range(self.at_once)
        ]
        for worker in self._workers:
            worker.start()

    def submit(self, job: Job) -> None:
        """Have the pictures of a job generated.

        Raises:
            QueueFullError: too many wait already.
            ClosedError: the server is stopping.
        """
        units = [Unit(job, row) for row in job.wanted.rows]
        with self._changed:
            if self.closed:
                raise ClosedError
            held = sum(map(pixels, {unit.job for unit in self._queue} | {job}))
            if self.waiting + len(units) > self.max_queue or (self._queue and held > HELD_PIXELS):
                raise QueueFullError
            self._queue.extend(units)
            self._changed.notify_all()

    def cancel(self, job: Job) -> None:
        """Give a job up: what waits of it leaves the queue; a batch that is left without anybody
        to wait for it ends after its step."""
        with self._changed:
            job.cancelled = True
            self._queue = deque(unit for unit in self._queue if unit.job is not job)
            self._changed.notify_all()

    def close(self, timeout: float = 10.0) -> None:
        """Stop working; who waits is told."""
        with self._changed:
            self.closed = True
            left, self._queue = list(self._queue), deque()
            self._changed.notify_all()
        for job in {unit.job for unit in left}:
            job.deliver(Failed(ClosedError()))
        until = time.monotonic() + timeout
        for worker in self._workers:
            worker.join(max(0.0, until - time.monotonic()))

    def _work(self) -> None:
        while True:
            batch = self._take()
            if batch is None:
                return
            started = time.monotonic()
            try:
                self._generate(batch)
            finally:
                with self._changed:
                    self.running -= len(batch)
                    self._busy -= 1
            self.on_batch(len(batch), time.monotonic() - started)

    def _take(self) -> list[Unit] | None:
        """The next batch, taken out of the queue; None when closed."""
        with self._changed:
            while True:
                empty = not self._queue
                self._changed.wait_for(lambda: self._queue or self.closed)
                if empty and not self._busy and self.wait > 0:
                    self._changed.wait_for(
                        lambda: self.closed or len(self._alike()) >= self._room(), self.wait
                    )
                if self.closed:
                    return None
                if batch := self._company():  # or all were given up, or taken, meanwhile
                    break
            taken = set(map(id, batch))
            self._queue = deque(unit for unit in self._queue if id(unit) not in taken)
            self.running += len(batch)
            self._busy += 1
            return batch

    def _alike(self) -> list[Unit]:
        """The first of the queue, and all with its settings."""
        if not self._queue:
            return []
        key = self._queue[0].job.wanted.company
        return [unit for unit in self._queue if unit.job.wanted.company == key]

    def _company(self) -> list[Unit]:
        """Those that a worker takes: its share of what waits, among the workers that are free."""
        alike, free = self._alike(), self.at_once - self._busy
        return alike[: min(self._room(), -(-len(alike) // free))]

    def _room(self) -> int:
        """Pictures that may be generated together with the first of the queue, itself included.

        Those of equal settings have equally many canvases.
        """
        if not self._queue:
            return self.max_batch
        most = self.max_canvases // self._queue[0].job.wanted.canvases
        return max(1, min(self.max_batch, most))

    def _generate(self, batch: Sequence[Unit]) -> None:
        """Generate a batch; where it fails, each of its pictures alone."""
        batch = [unit for unit in batch if not unit.job.cancelled]
        if not batch:
            return
        try:
            out = self._call(batch)
        except Exception as error:
            if len(batch) > 1 and not self.closed:
                for unit in batch:
                    self._generate([unit])
                return
            for unit in batch:
                tell(unit, Failed(error))
            return
        for place, unit in enumerate(batch):
            done = Done(unit.index, unit.row, out, place)
            tell(unit, Failed(ClosedError()) if self.closed else done)

    def _call(self, batch: Sequence[Unit]) -> PipelineOutput:
        due = {unit: unit.job.preview_steps for unit in batch}
        self._take_share()

        def on_step(pipe: UFCPipeline, step: int, timestep: int, state: dict[str, Any]) -> None:
            self._take_share()
            if self.closed or all(unit.job.cancelled for unit in batch):
                state["stop"]()
                return
            shown = [
                (place, unit)
                for place, unit in enumerate(batch)
                if step in due[unit] and not unit.job.cancelled
            ]
            images = state["image"]([place for place, _ in shown]) if shown else []
            for image, (_, unit) in zip(images, shown, strict=True):
                tell(unit, Preview(unit.index, due[unit].index(step), image))

        return self.pipe(
            conditioning=[unit.job.wanted.conditioning for unit in batch],
            seed=[unit.row.request.seed or 0 for unit in batch],
            callback_on_step_end=on_step,
            **batch_settings(batch[0].row.request),
        )

    def _take_share(self) -> None:
        """Give the calling worker its share of torch's threads; the setting is each thread's own.

        It is that of the batches there are, or of those there may be where their number must not
        change a picture.
        """
        if self.at_once > 1:
            batches = self.at_once if self.pipe.deterministic else self._busy
            number = self._workers.index(threading.current_thread())
            torch.set_num_threads(share(self._threads, batches, number))


def share(threads: int, batches: int, number: int) -> int:
    """How many threads batch `number` of so many has; together they have all, and each has one."""
    return max(1, (threads + number % batches) // batches)


def usual_batches(pipe: UFCPipeline, at_once: int | None, most: int | None) -> tuple[int, int]:
    """How many batches a pipeline generates at the same time, and of how many pictures at most.

    Where it is not said: one batch at a time on an accelerator, which it fills; where pictures have
    to come out the same in any company, since they change with the threads that work on them; and
    where the transformer is compiled, which is done for one number of threads. Several on a CPU,
    and small ones: what large ones compute with does not fit into its caches.

    Raises:
        ValueError: several batches of a compiled transformer.
    """
    if pipe.compiled and (at_once or 1) > 1:
        raise ValueError(
            f"got --compile and --batches-at-once {at_once}: what is compiled is so for one number "
            "of threads; leave one of them out"
        )
    alone = pipe.device.type != "cpu" or pipe.deterministic or pipe.compiled
    at_once = at_once or (1 if alone else min(torch.get_num_threads(), MOST_AT_ONCE))
    return at_once, most or (LARGE if at_once == 1 else SMALL)


def tell(unit: Unit, event: Event) -> None:
    """Deliver an event to whoever still waits for it."""
    if not unit.job.cancelled:
        unit.job.deliver(event)


def pixels(job: Job) -> int:
    """Pixels that a job holds while it waits."""
    pictures = (one for some in job.wanted.conditioning.pictures.values() for one in some)
    return sum(picture.width * picture.height for picture in pictures)
