"""From a request to files: what the thread that generates does for a session."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from ufc.conditioning.conditioning import Conditioning
from ufc.conditioning.frame import Grid, cells
from ufc.io.batch_plan import batch_settings
from ufc.io.embedded_tokens import block_record
from ufc.io.inputs import InputFiles
from ufc.io.manifest import save_picture
from ufc.io.png.metadata import Metadata, describe, rounded
from ufc.pipeline import PipelineOutput
from ufc.pipeline.coding import Shortened
from ufc.request import Request, Result
from ufc.requests.loading import Loaded
from ufc.token_confidence import Assessment, assess, block_errors, differing_blocks, weakest
from ufc_base.images import to_pil
from ufc_base.profiles import to_srgb
from webui.drawing.blocks import border, invert, to_mask
from webui.drawing.origins import to_origins
from webui.sessions import state
from webui.sessions.generating.film import Film
from webui.sessions.generating.worker import Ticket
from webui.sessions.state import Picture, Session
from webui.sessions.store import SessionStore

HARD_TO_CODE = (
    0.12  # of full range: a block whose codes miss it by more looks different at a glance
)


class GenerationJob:
    """The request of one session on its way to pictures.

    With `repair`, so many blocks are regenerated, those of the picture that the model doubts most,
    and what comes of it is only put on the canvas where the model scores it higher.
    """

    def __init__(
        self,
        loaded: Loaded,
        store: SessionStore,
        key: str,
        request: Request,
        base: Picture | None,
        repair: int = 0,
    ) -> None:
        self.loaded = loaded
        self.store = store
        self.key = key
        self.request = request
        self.repair = repair
        self.stopped = False
        self.base = base if request.image is not None else None
        self.base_details = store.read_details(key, base.id) if self.base and base else {}
        self.grid = loaded.pipe.frames.choose(None, request.height, request.width).grid
        self.base_image = store.open_picture(key, self.base.file) if self.base else None

    def run(self, ticket: Ticket) -> None:
        """Generate, and add what came of it to the session."""
        pipe = self.loaded.pipe
        before = self.reopen() if self.repair else None
        film = self.film(ticket)
        request = self.request
        out = pipe(
            conditioning=self.conditioning(),
            seed=request.seed,
            num_images_per_prompt=request.num_images_per_prompt,
            score_steps=True,
            callback_on_step_end=film.watch,
            **batch_settings(request),
        )
        self.stopped = ticket.stop.is_set()
        better = before is None or self.compare(before, out, ticket)
        pictures = self.write(out, film)
        self.store.update(self.key, lambda session: self.deliver(session, pictures, better))

    def film(self, ticket: Ticket) -> Film:
        """What is to be seen of it."""
        return Film(ticket, self.grid)

    def codes_of(self, out: PipelineOutput, index: int) -> list[int]:
        """The codes of picture `index`, on the grid of the canvas."""
        return list(out.codes[index].tolist())

    def conditioning(self) -> Conditioning:
        """The request's conditioning with its pictures opened, and the codes of the image."""
        known = {self.base.file: self.base_image} if self.base else {}
        given = self.request.conditioning.with_pictures(
            lambda name: known.get(name) or self.store.open_picture(self.key, name)
        )
        codes = self.base.codes if self.base else None
        return given.model_copy(update={"codes": codes or None})

    def assess(self, codes: Sequence[int]) -> Assessment:
        """What the model thinks of codes as an answer to the request."""
        given = self.conditioning()
        references = [one.picture for one in given.reference_images]
        return assess(self.loaded.pipe, codes, given.prompt, references, self.grid)

    def reopen(self) -> Assessment:
        """Ask for the weakest blocks of the base to be regenerated; returns its assessment."""
        assert self.base is not None
        assert self.base_image is not None
        pipe = self.loaded.pipe
        frame = pipe.frames.of(self.grid)
        codes = self.base.codes or pipe.encode([self.base_image], frame).flatten().tolist()
        found = self.assess(codes)
        kept = invert(weakest(found.confidence, self.repair), self.grid)
        self.request = self.request.changed(preserve_blocks=kept)
        return found

    def compare(self, before: Assessment, out: PipelineOutput, ticket: Ticket) -> bool:
        """Whether the repaired picture scores higher; the visitor is told either way."""
        after = self.assess(self.codes_of(out, 0))
        better = after.score > before.score
        scores = {"before": f"{before.score:.2f}", "after": f"{after.score:.2f}"}
        outcome = "repaired" if better else "repair_no_better"
        ticket.conclude(outcome, count=self.repair, **scores)
        return better

    def write(self, out: PipelineOutput, film: Film) -> list[Picture]:
        """Write the pictures and what is known of them; the session does not know of them yet."""
        names = self.store.names(self.key, len(out.images))
        pictures = []
        for index, name in enumerate(names):
            picture = self.picture(out, index, name, names[0])
            details = self.details(out, index, name, film)
            self.save(out, index, picture, details)
            self.store.write_details(self.key, name, details)
            pictures.append(picture)
        return pictures

    def deliver(self, session: Session, pictures: list[Picture], better: bool = True) -> Session:
        """The session with the pictures that were written."""
        if not self.repair:
            return state.add(session, pictures, blank=self.loaded.pipe.frames.default.grid)
        if not better:
            return replace(session, pictures=(*session.pictures, *pictures))
        session = state.add(session, pictures)
        return state.marked_to_change(session, invert(pictures[0].kept, self.grid), self.grid)

    def picture(self, out: PipelineOutput, index: int, name: str, group: str) -> Picture:
        """The session's entry of picture `index`."""
        request = self.request_of(out, index)
        return Picture(
            id=name,
            file=f"pictures/{name}.png",
            group=group,
            parent=self.base.id if self.base else None,
            kept=request.preserve_blocks or (),
            codes=tuple(out.codes[index].tolist()),
            grid=self.grid,
            size=out.images[index].size,
            request=request.to_json(),
            seed=out.seeds[index],
            compliance=rounded(out.compliance[index]),
            fidelity=rounded(out.fidelity[index]),
            seconds=round(out.seconds, 3),
            steps=out.steps[index],
            stopped=self.stopped,
        )

    def request_of(self, out: PipelineOutput, index: int) -> Request:
        """The request that makes picture `index` alone."""
        return self.request.changed(seed=out.seeds[index], num_images_per_prompt=1)

    def details(self, out: PipelineOutput, index: int, name: str, film: Film) -> dict[str, Any]:
        """What is known of picture `index` block by block and step by step."""
        before = self.base_details.get("origin") or []
        sure = self.base_details.get("confidence") or []
        origin: list[Any] = []
        confidence: list[float | None] = []
        for block, story in enumerate(out.provenance[index]):
            if story["kept"]:
                uploaded = {"picture": self.base.id if self.base else name, "kind": "upload"}
                origin.append(before[block] if before else uploaded)
                confidence.append(sure[block] if sure else None)
            else:
                origin.append(sampled_here(name, out.seeds[index], story))
                confidence.append(story["confidence"])
        return self.told(out, index, origin, confidence) | {"steps": film.steps_of(index)}

    def told(
        self, out: PipelineOutput, index: int, origin: list[Any], confidence: list[float | None]
    ) -> dict[str, Any]:
        """What is known of picture `index` beside its steps."""
        return {
            "origin": origin,
            "confidence": confidence,
            "curves": out.curves[index],
            "audit": self.audit(out, index, origin),
            "notices": [recorded_notice(notice) for notice in out.notices[index]],
        }

    def audit(self, out: PipelineOutput, index: int, origin: list[Any]) -> dict[str, Any]:
        """Whether kept pixels are the same, and which of them the codes do not show well.

        The latter among the visitor's own pixels beside what is new: others come from codes.
        """
        kept = self.request.preserve_blocks or ()
        if self.base_image is None or not kept:
            return {}
        pipe = self.loaded.pipe
        image, frame, base = out.images[index], pipe.frames.of(self.grid), self.base_image
        if base.width < image.width:  # kept blocks were enlarged with the rest
            return {}
        if base.size != image.size:
            base = frame.fit(base)
        changed = set(differing_blocks(base, image, self.grid)) & set(kept)
        assert out.decoded is not None
        shown = to_pil(out.decoded[index : index + 1])[0]
        errors = block_errors(to_srgb(frame.fit(base)), shown, self.grid)
        own = {block for block in kept if "step" not in origin[block]}
        beside = set(border(set(range(cells(self.grid))) - set(kept), self.grid)) & own
        return {
            "kept": len(kept),
            "changed": sorted(changed),
            "sha256_before": kept_digest(base, kept, self.grid),
            "sha256_after": kept_digest(image, kept, self.grid),
            "hard_to_code": [block for block in sorted(beside) if errors[block] > HARD_TO_CODE],
        }

    def result(self, picture: Picture, index: int) -> Result:
        """What came of picture `index`, as its file says."""
        return Result(
            f"{picture.id}.png",
            "done",
            seed=picture.seed,
            index=index,
            compliance=picture.compliance,
            fidelity=picture.fidelity,
            steps=picture.steps,
            model=self.loaded.name.rsplit("/", 1)[-1],
            backend=self.loaded.backend,
            versions=self.loaded.versions,
        )

    def save(
        self, out: PipelineOutput, index: int, picture: Picture, details: dict[str, Any]
    ) -> None:
        """Write the PNG, with its request, its codes and the story of its blocks in it."""
        request = self.request_of(out, index)
        metadata = describe(
            request,
            self.result(picture, index),
            hashes_of(self.store, self.key, request),
            out.images[index].size,
            curves=out.curves[index],
            blocks=block_record(
                self.loaded.pipe,
                out.images[index],
                picture.codes or (),
                details["confidence"],
                to_origins(details["origin"], picture.id),
            ),
        )
        write_png(self.store, self.key, picture.file, out.images[index], metadata)


def hashes_of(store: SessionStore, key: str, request: Request) -> dict[str, str]:
    """sha256 of a request's files, by the names that it has for them."""
    files, named = InputFiles(), request.conditioning.pictures.values()
    return {name: files[str(store.path(key, name))].sha256 for names in named for name in names}


def kept_digest(image: Image.Image, kept: tuple[int, ...], grid: Grid) -> str:
    """sha256 of the pixels of the given blocks, twelve digits."""
    inside = np.asarray(to_mask(kept, grid, image.size[::-1])) > 0
    return hashlib.sha256(np.asarray(image.convert("RGB"))[inside].tobytes()).hexdigest()[:12]


def recorded_notice(notice: str) -> str | dict[str, Any]:
    """A notice as it is written down; where the page has words for it, its facts."""
    if not isinstance(notice, Shortened):
        return notice
    return {"shortened": notice.what} | {
        name: getattr(notice, name) for name in ("tokens", "most", "kept")
    }


def write_png(
    store: SessionStore, key: str, name: str, image: Image.Image, metadata: Metadata | None
) -> None:
    """Write a picture of a session, whole or not at all."""
    save_picture(image, store.path(key, name), metadata, overwrite=True)


def sampled_here(name: str, seed: int | None, story: Mapping[str, Any]) -> dict[str, Any]:
    """Where a block comes from that was sampled for the picture of this name."""
    return {
        "picture": name, "seed": seed, "step": story["step"], "candidate": story["candidate"],
    }  # fmt: skip
