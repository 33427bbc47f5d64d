"""Everything the page can ask for: the model, the sessions and the thread that generates, together.

One studio serves all visitors of a server. It knows nothing of Streamlit.
"""

from __future__ import annotations

import io
import json
import random
import threading
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from ufc.conditioning.frame import Frame, Frames
from ufc.io.contact_sheet import contact_sheet
from ufc.io.embedded_tokens import block_record, carried_codes, codebook_digest
from ufc.io.png.metadata import Metadata, read_metadata, save_options
from ufc.io.validation import RequestError, shortened
from ufc.request import MAX_SEED, Request, Result
from ufc.requests.loading import Loaded, ModelSettings, load
from ufc.requests.replay import differences
from ufc.sampling.orders import find_order
from ufc.token_confidence import assess, weakest
from ufc_base.images import ImageError, load_mask, load_original
from ufc_base.profiles import in_profile, sound_profile, to_srgb
from webui.drawing import blocks
from webui.drawing.origins import to_origins, to_stories
from webui.sessions import state
from webui.sessions.generation import GenerationJob, png_bytes, write_png
from webui.sessions.state import (
    LEAST_WEIGHT,
    MOST_WEIGHT,
    Picture,
    ReferenceItem,
    Session,
    Settings,
)
from webui.sessions.store import SessionStore
from webui.sessions.tabs import Tabs
from webui.sessions.worker import Worker

MOST_LISTED = 64  # references of a request that are looked for
MAX_UPLOAD = 32 * 1024 * 1024  # bytes


class Studio:
    """The model, loaded once; the sessions of a folder; one request at a time."""

    def __init__(self, folder: Path, model: ModelSettings) -> None:
        self.store = SessionStore(folder)
        self.worker = Worker()
        self.tabs = Tabs()
        self._model = model
        self._loaded: Loaded | None = None
        self._loading = threading.Lock()

    @property
    def loaded(self) -> Loaded:
        """The model; the first to ask waits until it is loaded, and so do the others."""
        with self._loading:
            if self._loaded is None:
                self._loaded = exactly_again(load(self._model))
            return self._loaded

    @property
    def ready(self) -> bool:
        """Whether the model is loaded."""
        return self._loaded is not None

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

    @property
    def codebook(self) -> str:
        """What the codes of this model are codes of."""
        return codebook_digest(self.loaded.pipe)

    def begin(self, lang: str = "en") -> str:
        """A new session with the model's own settings; returns its id."""
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
        return self.store.create(Session(state.within(settings), self.codebook))

    def has(self, key: str) -> bool:
        """Whether there is such a session, and its codes are of this model."""
        try:
            return self.store.has(key) and self.store.load(key).codebook == self.codebook
        except KeyError:
            return False

    def generate(self, key: str) -> None:
        """Queue what the session asks for now.

        Raises:
            RequestError: it asks for nothing that can be generated.
            BusyError: the last one is not finished.
        """
        session = self._roll(key)
        request = self.request(session)
        job = GenerationJob(self.loaded, self.store, key, request, session.current)
        self._submit(key, self.most_steps(session, request), job)

    def repair(self, key: str, count: int) -> None:
        """Queue the blocks that the model doubts most in the picture on the canvas.

        Raises:
            ValueError: there is no picture, or `count` is not at least 1 and less than its blocks.
            BusyError: the last one is not finished.
        """
        session = self.store.load(key)
        frame = self.frame(session)
        if session.current is None or not 1 <= count < frame.cells:
            raise ValueError(f"got {count} blocks to repair, wanted a picture and 1 or more of it")
        session = self._roll(key)
        # Which blocks these are is found out when its turn comes.
        some = state.mark_to_change(session, tuple(range(count)), frame.grid)
        request = self.request(some).changed(num_images_per_prompt=1)
        job = GenerationJob(self.loaded, self.store, key, request, session.current, repair=count)
        self._submit(key, self.most_steps(session, request), job)

    def _submit(self, key: str, steps: int, job: GenerationJob) -> None:
        """Queue a drawing; that it is under way is written down, should the server end before."""
        self.store.update(key, lambda session: replace(session, pending=True))
        self.worker.submit(key, steps, job.run)

    def stop(self, key: str) -> None:
        """End a drawing after the step at hand, or take it out of the queue."""
        self.worker.stop(key)
        progress = self.worker.progress(key)
        if progress is None or not progress.active:
            with suppress(KeyError, OSError):  # its folder was deleted meanwhile
                self.store.update(key, lambda session: replace(session, pending=False))

    def cut_off(self, key: str) -> bool:
        """Whether a drawing of a session was under way that nobody works at: said once."""
        if not self.store.load(key).pending or self.worker.progress(key) is not None:
            return False
        self.store.update(key, lambda session: replace(session, pending=False))
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
        free = frame.cells - len(request.preserve_blocks or ())
        return find_order(settings.order).steps(settings.steps, free)

    def _roll(self, key: str) -> Session:
        """The session with the seed of its next picture: another one, unless it is locked."""
        session = self.store.load(key)
        if session.settings.seed_locked or not session.pictures:
            return session
        settings = replace(session.settings, seed=random_seed())
        return self.store.update(key, lambda s: replace(s, settings=settings))

    # Pictures that come from elsewhere

    def upload(self, key: str, data: bytes) -> dict[str, Any] | None:
        """Put a visitor's picture on the canvas; returns the request it was made by, if it says.

        What that regenerated is marked, so that the same request would generate the same blocks.

        Raises:
            ImageError: too large, no picture, or damaged.
        """
        image = self.open_upload(data)
        metadata = None
        try:
            metadata = read_metadata(io.BytesIO(data))
        except RequestError:  # what it says about itself is damaged; its pixels are not
            metadata = None
        codes = carried_codes(self.loaded.pipe, image, metadata.blocks) if metadata else None
        frame = self.frames.choose(image.size)
        if codes and metadata and metadata.blocks:
            frame = self.frames.of(metadata.blocks.grid_size)
        fitted = image if codes else frame.fit(image)
        said = dict(metadata.request or {}) if metadata else {}
        asked = said.get("request")
        request: dict[str, Any] = asked if isinstance(asked, dict) else {}

        (name,) = self.store.names(key)
        picture = Picture(
            name,
            f"pictures/{name}.png",
            "upload",
            codes=codes,
            grid=frame.grid,
            seed=None,
            compliance=_score(said.get("compliance")),
            fidelity=_score(said.get("fidelity")),
        )
        write_png(self.store, key, picture.file, fitted, metadata if codes else None)
        if codes and metadata and metadata.blocks and metadata.blocks.provenance:
            found, seed = metadata.blocks, request.get("seed")
            known = seed if isinstance(seed, int) and 0 <= seed <= MAX_SEED else None
            confidence = found.confidence or (None,) * len(codes)
            origin = to_stories(found.provenance or (), name, known)
            details = {"confidence": list(confidence), "origin": origin}
            self.store.write_details(key, name, details)
        kept = blocks.clean(request.get("preserve_blocks"), frame.grid) if codes else ()
        change = blocks.invert(kept, frame.grid) if kept else ()

        def place(session: Session) -> Session:
            session = state.add(session, [picture], marks=())
            return state.marked_to_change(session, change, frame.grid) if change else session

        self.store.update(key, place)
        return request or None

    def drawn_by_another(self, data: bytes) -> dict[str, Any]:
        """What drew an upload that is not so here, {name: then}; the same settings may give
        another picture then. Empty for pictures that do not say."""
        try:
            said = read_metadata(io.BytesIO(data)).request or {}
            then = {name: said[name] for name in ("backend", "versions") if name in said}
            result = Result.from_json({"file_name": "upload.png", **then})
        except RequestError:
            return {}
        return differences(result, {**self.loaded.backend, **self.loaded.versions})

    def find_references(self, key: str, request: Mapping[str, Any]) -> int:
        """Use the pictures of a request again, where this session has them; counts the others."""
        asked = request.get("reference_images") or ()
        found: dict[str, float] = {}
        missing = 0
        for item in asked[:MOST_LISTED] if isinstance(asked, list | tuple) else ():
            said = item if isinstance(item, dict) else {}
            name = self.store.find_reference(key, said.get("sha256"))
            weight = said.get("weight", 1.0)
            if name and isinstance(weight, int | float):
                found[name] = min(MOST_WEIGHT, max(LEAST_WEIGHT, float(weight)))
            else:
                missing += 1
        self.store.update(key, lambda session: state.use_references(session, found))
        for control in state.picture_controls():
            told = request.get(control)
            digest = told.get("sha256") if isinstance(told, dict) else None
            file = self.store.find_reference(key, digest)
            missing += bool(told) and not file
            self.store.update(key, partial(state.set_control, name=control, value=file))
        return missing

    def give_picture(self, key: str, control: str, data: bytes | None) -> None:
        """Take a visitor's picture for a control of its own, or take it away.

        Raises:
            ImageError: too large, no picture, or damaged.
        """
        file = None if data is None else self.store.keep_reference(key, self.fitted(data))
        self.store.update(key, lambda session: state.set_control(session, control, file))

    def add_reference(self, key: str, data: bytes, name: str) -> None:
        """Take a visitor's picture as a reference.

        Raises:
            ImageError: too large, no picture, or damaged.
            ValueError: there are as many as the model reads.
        """
        file = self.store.keep_reference(key, self.fitted(data))
        item = ReferenceItem(file, shortened(name, 80))
        self.store.update(key, lambda session: state.add_reference(session, item))

    def picture_as_reference(self, key: str, picture: str) -> None:
        """Take a picture of the session as a reference."""
        item = self.store.load(key).find(picture)
        if item is not None:
            self.add_reference(key, self.store.read(key, item.file), f"{item.id}.png")

    def upload_mask(self, key: str, data: bytes) -> None:
        """Mark by a mask image: white is to change.

        Raises:
            ImageError: too large, no picture, damaged, or with nothing white in it.
        """
        check_size(data)
        frame = self.frame(self.store.load(key))
        change = blocks.from_mask(load_mask(data), frame.grid, frame.size, frame.stretch)
        if not change:
            raise ImageError("nothing in it is white; paint white what is to be regenerated")
        self.store.update(key, lambda s: state.mark_to_change(s, change, frame.grid))

    def mask(self, key: str) -> bytes:
        """The marked blocks as a PNG: white is to change."""
        session = self.store.load(key)
        frame = self.frame(session)
        change = state.blocks_to_change(session.view, frame.grid)
        return png_bytes(blocks.to_mask(change, frame.grid, frame.size))

    def fitted(self, data: bytes) -> Image.Image:
        """A visitor's picture in sRGB, in the size that suits its proportions."""
        image = to_srgb(self.open_upload(data))
        return self.frames.choose(image.size).fit(image)

    def open_upload(self, data: bytes) -> Image.Image:
        """A visitor's picture in its own colours, checked as the command line checks files."""
        check_size(data)
        return load_original(data)

    # Pictures made from others

    def find_weakest(self, key: str, count: int) -> None:
        """Mark the blocks that the model doubts most, to be regenerated."""
        session = self.store.load(key)
        if session.current is None:
            return
        frame = self.frame(session)
        found = assess(
            self.loaded.pipe,
            self.codes(key, session.current),
            session.settings.prompt.strip() or None,
            [self.store.open_picture(key, item.file) for item in session.references if item.on],
            frame.grid,
        )
        change = weakest(found.confidence, count)
        self.store.update(key, lambda s: state.mark_to_change(s, change, frame.grid))

    def continue_from(self, key: str, picture: str, step: int) -> None:
        """A step of a generation as a picture of its own, on the canvas.

        Raises `ValueError` where the picture has no such step.
        """
        source = self.store.load(key).find(picture)
        steps = self.store.read_details(key, picture).get("steps", [])
        if source is None or not 0 <= step < len(steps):
            raise ValueError(f"picture {picture} has no step {step + 1}")
        image = self.step_image(key, source, step)
        codes, details = self.step_details(key, source, step)
        self._place(key, "step", image, codes, source, details)

    def step_png(self, key: str, picture: Picture, step: int) -> bytes:
        """A step of a drawing as the file that it would have as a picture of its own."""
        codes, details = self.step_details(key, picture, step)
        image = self.step_image(key, picture, step)
        stream = io.BytesIO()
        metadata = self._metadata(image, codes, details, picture.id)
        image.save(stream, **save_options(metadata, ".png"))
        return stream.getvalue()

    def step_details(
        self, key: str, source: Picture, step: int
    ) -> tuple[tuple[int, ...], dict[str, Any]]:
        """The codes of a step, and what is known of it block by block."""
        details = self.store.read_details(key, source.id)
        steps = details["steps"]
        return tuple(steps[step]["codes"]), {
            "origin": [
                {"picture": source.id, "seed": source.seed, "step": drawn, "candidate": candidate}
                if drawn >= 0
                else story
                for story, drawn, candidate in zip(
                    details["origin"], steps[step]["drawn"], steps[step]["candidate"], strict=True
                )
            ],
            "confidence": [
                sure if drawn >= 0 else before
                for before, sure, drawn in zip(
                    details["confidence"],
                    steps[step]["confidence"],
                    steps[step]["drawn"],
                    strict=True,
                )
            ],
            "steps": steps[: step + 1],
            "curves": details.get("curves", [])[: step + 1],
        }

    def cross(self, key: str, other: str) -> None:
        """Take the marked blocks from another picture, and mark the seam to be regenerated.

        Raises `ValueError` where nothing is marked, or there are not two pictures.
        """
        session = self.store.load(key)
        one, two = session.current, session.find(other)
        if one is None or two is None or one.id == two.id or not session.view.marks:
            raise ValueError("mark the blocks to take over, and choose another picture for them")
        if self.frame_of(one) != self.frame_of(two):
            raise ValueError("the pictures have different shapes; choose another of this shape")
        taken, grid = session.view.marks, self.frame_of(one).grid
        images = [self.store.open_picture(key, picture.file) for picture in (one, two)]
        image = blocks.mix(images[0], images[1], taken, grid)
        pair = [self.codes(key, picture) for picture in (one, two)]
        stories = [self._stories(key, picture) for picture in (one, two)]
        from_two = set(taken)
        cells = range(grid[0] * grid[1])
        codes = tuple(pair[cell in from_two][cell] for cell in cells)
        details = {
            name: [stories[cell in from_two][name][cell] for cell in cells]
            for name in ("origin", "confidence")
        }
        self._place(key, "cross", image, codes, one, details, blocks.seam(taken, grid))

    def codes(self, key: str, picture: Picture) -> tuple[int, ...]:
        """The codes of a picture: its own, or what the tokenizer makes of an upload."""
        if picture.codes:
            return picture.codes
        image = self.store.open_picture(key, picture.file)
        return tuple(self.loaded.pipe.encode([image], self.frame_of(picture)).flatten().tolist())

    def step_image(self, key: str, picture: Picture, step: int) -> Image.Image:
        """A picture as it was after a step, with what it kept of its parent in it."""
        codes = self.store.read_details(key, picture.id)["steps"][step]["codes"]
        image = self.loaded.pipe.decode_pil([codes], self.frame_of(picture).grid)[0]
        if picture.kept:
            whole = self.store.open_picture(key, picture.file)
            image = in_profile(image, sound_profile(whole))
            image = blocks.mix(image, whole, picture.kept, self.frame_of(picture).grid)
        return image

    # What leaves the studio

    def sheet(self, key: str, pictures: Sequence[Picture]) -> bytes:
        """One PNG with all pictures on it."""
        images = [self.store.open_picture(key, picture.file) for picture in pictures]
        return png_bytes(contact_sheet(images))

    def archive(self, key: str, pictures: Sequence[Picture]) -> bytes:
        """A zip of pictures, of the files they were made from, and a manifest that
        `ufc generate --prompts-file` generates again."""
        stream = io.BytesIO()
        lines, files = [], {picture.file for picture in pictures}
        there = partial(self.store.has_file, key)
        session = self.store.load(key)
        for picture in pictures:
            named = Request.from_json(picture.request).conditioning.pictures
            made_of = {name for names in named.values() for name in names}
            if picture.kind == "drawn" and all(map(there, made_of)):
                lines.append(self._manifest_line(key, picture))
                files |= made_of
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            for name in sorted(files):
                archive.writestr(name, self.store.read(key, name))
            archive.writestr("manifest.jsonl", "".join(line + "\n" for line in lines))
            archive.writestr("contact-sheet.png", self.sheet(key, pictures or session.shown))
        return stream.getvalue()

    def _manifest_line(self, key: str, picture: Picture) -> str:
        # Another model or precision may have generated it, before this server was started.
        by = read_metadata(self.store.path(key, picture.file)).request or {}
        result = Result(
            f"again-{picture.id}.png",
            "done",
            seed=picture.seed,
            compliance=picture.compliance,
            fidelity=picture.fidelity,
            steps=picture.steps,
            model=self.loaded.name,
            backend=by.get("backend", self.loaded.backend),
            versions=by.get("versions", self.loaded.versions),
        )
        return json.dumps({**picture.request, **result.to_json()}, ensure_ascii=False)

    def _stories(self, key: str, picture: Picture) -> dict[str, list[Any]]:
        """Origin and confidence of every block, also where nothing was written down."""
        cells = self.frame_of(picture).cells
        details = self.store.read_details(key, picture.id)
        unknown = {"picture": picture.id, "kind": picture.kind}
        return {
            "origin": details.get("origin") or [unknown] * cells,
            "confidence": details.get("confidence") or [None] * cells,
        }

    def _metadata(
        self, image: Image.Image, codes: tuple[int, ...], details: Mapping[str, Any], name: str
    ) -> Metadata:
        """What the file of a picture made from others says of its blocks."""
        origins = to_origins(details["origin"], name)
        return Metadata(
            blocks=block_record(self.loaded.pipe, image, codes, details["confidence"], origins)
        )

    def _place(
        self,
        key: str,
        kind: str,
        image: Image.Image,
        codes: tuple[int, ...],
        parent: Picture,
        details: dict[str, Any],
        marks: blocks.Blocks | None = None,
    ) -> None:
        """A picture made from others, on the canvas; `marks` are to change."""

        (name,) = self.store.names(key)
        picture = Picture(
            name,
            f"pictures/{name}.png",
            kind,
            parent=parent.id,
            codes=codes,
            grid=self.frame_of(parent).grid,
            request=parent.request,
            seed=parent.seed,
        )
        metadata = self._metadata(image, codes, details, name)
        write_png(self.store, key, picture.file, image, metadata)
        self.store.write_details(key, name, details)

        def place(session: Session) -> Session:
            session = state.add(session, [picture])
            if marks is None:
                return session
            view = replace(session.view, marks=marks, keep=False)
            return replace(session, view=view)

        self.store.update(key, place)


def check_size(data: bytes) -> None:
    """Raise `ImageError` where an upload is too large to be looked at."""
    if len(data) > MAX_UPLOAD:
        size = len(data) / 2**20
        raise ImageError(f"the file has {size:.0f} MB, wanted at most {MAX_UPLOAD >> 20} MB")


def files_seen(session: Session) -> int:
    """How many pictures and references a session shows."""
    return len(session.shown) + len(session.references)


def random_seed() -> int:
    return random.SystemRandom().randrange(state.MAX_SEED)


def _score(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else None


def exactly_again(loaded: Loaded) -> Loaded:
    """The model so that a picture of a batch is generated again alone: in precisions that round by
    what is multiplied together, each gets forward passes of its own."""
    if loaded.pipe.precision != "fp32":
        loaded.pipe.to(deterministic=True)
    return loaded
