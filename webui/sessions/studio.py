"""Everything the page can ask for: the model, the sessions and the thread that generates, together.

One studio serves all visitors of a server. It knows nothing of Streamlit.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from ufc.conditioning.frame import Frame, Frames
from ufc.io.batch_plan import batch_settings
from ufc.io.embedded_tokens import codebook_digest
from ufc.request import Request
from ufc.requests.loading import Loaded, ModelSettings, load
from ufc.sampling.orders import find_order
from webui.sessions import state
from webui.sessions.catalogue import LEFT_FOR, sweep
from webui.sessions.generating.generation import GenerationJob
from webui.sessions.generating.photograph_job import PhotographJob
from webui.sessions.generating.worker import Ticket, Worker
from webui.sessions.presets import Presets
from webui.sessions.state import (
    Picture,
    RefusedError,
    Session,
    Settings,
)
from webui.sessions.store import SessionStore
from webui.sessions.tabs import Tabs

VARIATIONS = 4  # pictures, at least
DOUBLE_CLICK = 1.0  # seconds in which the same is not asked for twice


class Studio:
    """The model, loaded once; the sessions of a folder; one request at a time.

    `for_one` is whether all sessions are of one person, who is shown all of them.
    """

    def __init__(self, folder: Path, model: ModelSettings, for_one: bool = False) -> None:
        self.for_one = for_one
        self.store = SessionStore(folder)
        self.worker = Worker()
        self.tabs = Tabs()
        self._model = model
        self._loaded: Loaded | None = None
        self._loading = threading.Lock()
        self._under_way: set[str] = set()  # sessions whose `pending` is of this process
        self._last_asked: dict[str, tuple[float, object]] = {}
        self._swept = -math.inf  # when, by the monotonic clock

    @property
    def loaded(self) -> Loaded:
        """The model; the first to ask waits until it is loaded, and so do the others."""
        with self._loading:
            if self._loaded is None:
                self._loaded = exactly_again(load(self._model))
            return self._loaded

    def presets(self, key: str) -> Presets:
        """A visitor's own presets: of the folder where it is for one, else of the session."""
        folder = self.store.folder if self.for_one else self.store.path(key)
        return Presets(folder / "presets.json")

    @property
    def frames(self) -> Frames:
        """The sizes that the model's pictures may have."""
        return self.loaded.pipe.frames

    def frame(self, session: Session) -> Frame:
        """The size of the picture on the canvas, or where there is none of the next one."""
        picture = session.current
        return self.frames.default if picture is None else self.frame_of(picture)

    def frame_of(self, picture: Picture) -> Frame:
        """The size of a picture."""
        return self.frames.of(picture.grid or self.frames.trained)

    def request(self, session: Session) -> Request:
        """What a session asks for now; see `state.to_request`."""
        frame = self.frame(session)
        change = state.blocks_to_change(session.view, frame.grid)
        shape = state.SHAPES.get(session.settings.shape)
        new = self.frames.of(self.frames.nearest(shape)) if shape else frame
        made = new if len(change) == frame.cells else frame
        size = None if made == self.frames.default else made.size
        return state.to_request(session, frame.grid, size)

    @cached_property
    def codebook(self) -> str:
        """What the codes of this model are codes of."""
        return codebook_digest(self.loaded.pipe)

    def begin(self, lang: str = "en") -> str:
        """A new session with the model's own settings; returns its id.

        Once a day those go, beside all else, that were begun and left empty.
        """
        defaults = self.loaded.pipe.defaults
        settings = Settings(
            lang=lang,
            seed=random_seed(),
            steps=defaults["num_inference_steps"],
            guidance_scale=defaults["guidance_scale"],
            temperature=defaults["temperature"],
            order=defaults["order"],
            candidates=defaults["num_candidates"],
        )
        session = Session(state.within(settings), self.codebook)
        if (now := time.monotonic()) - self._swept > LEFT_FOR:
            self._swept = now
            threading.Thread(target=self._sweep, args=(session,), name="sweep", daemon=True).start()
        return self.store.create(session)

    def _sweep(self, begun: Session) -> None:
        """Remove the sessions that were left as they began, but for those that a window showed."""
        sweep(self.store, begun, lambda key: self.tabs.seen_within(key, LEFT_FOR))

    def has(self, key: str) -> bool:
        """Whether there is such a session, and its codes are of this model."""
        try:
            return self.store.has(key) and self.store.load(key).codebook == self.codebook
        except KeyError:
            return False

    def generate(self, key: str) -> None:
        """Queue what the session asks for now.

        Behind something that is at work, or waits, it is the words, settings and marks that are of
        now, and the picture that is on the canvas when its turn comes: what is marked on a picture
        while it is generated is meant for that one. The same twice within a second is a double
        click.

        Raises:
            RequestError: it asks for nothing that can be generated.
            BusyError: too many are in the queue.
        """
        follows = self.worker.active(key)
        if self._is_double_click(key) and follows:
            return
        session = self._roll(key)
        request = self.request(session)
        self._submit(key, session, request, follows=follows)

    def repair(self, key: str, count: int) -> None:
        """Queue the blocks that the model doubts most in the picture on the canvas.

        Raises:
            RefusedError: there is no picture.
            ValueError: `count` is not at least 1 and less than its blocks.
            BusyError: too many are in the queue.
        """
        session = self.store.load(key)
        frame = self.frame(session)
        if session.current is None:
            raise RefusedError("no_picture")
        if not 1 <= count < frame.cells:
            raise ValueError(f"got {count} blocks to repair, wanted 1 to {frame.cells - 1}")
        session = self._roll(key)
        # Which blocks these are is found out when its turn comes.
        some = state.mark_to_change(session, tuple(range(count)), frame.grid)
        request = self.request(some).changed(num_images_per_prompt=1)
        self._submit(key, session, request, count)

    def vary(self, key: str, share: float) -> None:
        """Queue pictures in each of which a share of the blocks is generated anew: of those that
        are marked to change, or of all.

        Raises:
            RefusedError: there is no picture.
            BusyError: too many are in the queue.
        """
        session = self.store.load(key)
        frame = self.frame(session)
        if session.current is None:
            raise RefusedError("no_picture")
        session = self._roll(key)
        among = state.blocks_to_change(session.view, frame.grid)
        count = min(frame.cells - 1, max(1, round(share * len(among))))
        some = tuple(sorted(random.Random(session.settings.seed).sample(among, count)))
        request = self.request(state.mark_to_change(session, some, frame.grid))
        pictures = max(VARIATIONS, session.settings.pictures)
        self._submit(key, session, request.changed(num_images_per_prompt=pictures))

    def extend(self, key: str, added: tuple[int, int, int, int]) -> None:
        """Queue the picture on the canvas made larger by blocks at top, right, bottom and left.

        Raises:
            RefusedError: there is no picture, or nothing is added.
            BusyError: too many are in the queue.
        """
        session = self.store.load(key)
        picture = session.current
        if picture is None or not any(added):
            raise RefusedError("no_picture" if picture is None else "extend_nothing")
        session = self._roll(key)
        # As an edit of it: a picture needs no words, nor a reference, to be gone on from.
        some = state.mark_to_change(session, (0,), self.frame(session).grid)
        request = self.request(some).changed(
            image=picture.best,
            preserve_blocks=None,
            outpaint=added,
            original_size=True,
            upscale=None,
            height=None,
            width=None,
        )
        self._submit(key, session, request)

    def _submit(
        self,
        key: str,
        session: Session,
        request: Request,
        repair: int = 0,
        follows: bool = False,
    ) -> None:
        """Queue a generation; that it is under way is written down, should the server end before.

        One that `follows` is made anew from what was asked, on the picture that is there by then.
        """
        now = None if follows else self._job(key, session, request, repair)

        def run(ticket: Ticket) -> None:
            try:
                (now or self._job_on_what_is_there(key, session)).run(ticket)
            finally:
                self._write_pending(key, ticket.followed)

        def queued(session: Session) -> Session:
            # Under the session's lock: one that ends meanwhile sees that another follows.
            steps, weight = self.most_steps(session, request), pictures_a_step(request)
            self.worker.submit(key, steps, run, request.prompt or "", weight)
            self._under_way.add(key)
            return replace(session, pending=True)

        self.store.update(key, queued)

    def _write_pending(self, key: str, pending: Callable[[], bool]) -> None:
        """Write down whether something of a session is still under way, where it is still there."""
        with suppress(OSError):  # the file then goes on saying that something is under way
            try:
                with self.store.own(key):
                    after = self.store.update(key, lambda s: replace(s, pending=pending()))
                    if not after.pending:
                        self._under_way.discard(key)
            except KeyError:
                self._under_way.discard(key)

    def _job(self, key: str, session: Session, request: Request, repair: int = 0) -> GenerationJob:
        kind = PhotographJob if request.original_size else GenerationJob
        return kind(self.loaded, self.store, key, request, session.current, repair=repair)

    def _job_on_what_is_there(self, key: str, asked: Session) -> GenerationJob:
        """What was asked for, of the picture that is on the canvas now."""
        now = self.store.load(key)
        same = self.frame(asked).grid == self.frame(now).grid  # or marks are of other blocks
        view = replace(now.view, marks=asked.view.marks if same else (), keep=asked.view.keep)
        session = replace(now, settings=asked.settings, references=asked.references, view=view)
        return self._job(key, session, self.request(session))

    def _is_double_click(self, key: str) -> bool:
        """Whether the session asks for what it asked for a moment ago."""
        session, at = self.store.load(key), time.monotonic()
        asked = replace(session.settings, seed=0), session.view.marks, session.references
        for other, (then, _) in list(self._last_asked.items()):
            if at - then >= DOUBLE_CLICK:
                self._last_asked.pop(other, None)
        before = self._last_asked.get(key)
        self._last_asked[key] = at, asked
        return before is not None and asked == before[1]

    def stop(self, key: str, number: int | None = None) -> None:
        """End the first drawing, or the one of a number, after the step at hand, or take it out of
        the queue."""
        self.worker.stop(key, number)
        self._write_pending(key, lambda: self._still_under_way(key))

    def stop_all(self, key: str) -> None:
        """End the drawing at work after its step, and take out of the queue what waits."""
        self.worker.stop_all(key)
        self._write_pending(key, lambda: self._still_under_way(key))

    def _still_under_way(self, key: str) -> bool:
        """Whether a session has something at work or waiting whose end is not written down yet; to
        be asked under the session's lock."""
        return key in self._under_way and self.worker.active(key)

    def cut_off(self, key: str) -> bool:
        """Whether a server that ended left a generation of a session undone: said once."""
        with self.store.own(key):
            if key in self._under_way or not self.store.load(key).pending:
                return False
            self.store.update(key, lambda s: replace(s, pending=False))
            return True

    def leave_out_missing(self, key: str) -> int:
        """Leave out what files of a session are missing, and take in what came back; how many are
        newly left out."""
        before = self.store.load(key)
        missing = self.store.missing(key, before)
        after = state.without_files(before, missing)
        if after == before:
            return 0
        self.store.update(key, lambda session: state.without_files(session, missing))
        return max(0, files_seen(before) - files_seen(after))

    def most_steps(self, session: Session, request: Request) -> int:
        """How many steps a request takes at most."""
        settings, frame = session.settings, self.frame(session)
        if request.height and request.width:
            frame = self.frames.choose(None, request.height, request.width)
        kept = () if request.original_size else request.preserve_blocks or ()  # of another part
        free = frame.cells - len(kept)
        return find_order(settings.order).steps(settings.steps, free)

    def _roll(self, key: str) -> Session:
        """The session with the seed of its next picture: another one, unless it is locked.

        Raises:
            BusyError: there is no room for another in the queue.
        """
        self.worker.check_room(key)
        session = self.store.load(key)
        first = not session.pictures and not session.pending
        if session.settings.seed_locked or first:
            return session
        settings = replace(session.settings, seed=random_seed())
        return self.store.update(key, lambda s: replace(s, settings=settings))


def pictures_a_step(request: Request) -> int:
    """How many pictures each step of a request works at."""
    batch = batch_settings(request)
    factors = ("num_candidates", "best_of")
    return request.num_images_per_prompt * math.prod(batch.get(name) or 1 for name in factors)


def files_seen(session: Session) -> int:
    """How many pictures and references a session shows."""
    return len(session.shown) + len(session.references)


def random_seed() -> int:
    return random.SystemRandom().randrange(state.MAX_SEED)


def exactly_again(loaded: Loaded) -> Loaded:
    """The model so that a picture of a batch is generated again alone: in precisions that round by
    what is multiplied together, each gets forward passes of its own."""
    if loaded.pipe.precision != "fp32":
        loaded.pipe.to(deterministic=True)
    return loaded
