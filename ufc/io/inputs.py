"""The picture files of a request: opened, checked against one another, and named by their hash."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from ufc.conditioning.frame import Frame
from ufc.io.batch_plan import Job
from ufc.io.png.block_record import BlockRecord
from ufc.io.png.metadata import metadata_of
from ufc.io.validation import RequestError
from ufc.request import Request
from ufc_base.checkpoint import sha256
from ufc_base.images import (
    ImageError,
    load_image,
    load_mask,
    load_original,
    match_mask,
)
from ufc_base.reading import read_picture

HELD_PIXELS = 2**26  # of decoded input files, about 200 MB


@dataclass(frozen=True)
class Inputs:
    """Pictures of one request: references and image RGB, mask L (white is regenerated).

    References are in sRGB; the image has its own colours, and its profile. `further` are the
    values of further controls by name.
    """

    references: tuple[Image.Image, ...] = ()
    image: Image.Image | None = None
    mask: Image.Image | None = None
    further: Mapping[str, Any] = field(default_factory=dict)


class InputFile:
    """One picture file, decoded and hashed once."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.stored = read_picture(path)
        self.sha256 = sha256(Path(path))

    def picture(self) -> Image.Image:
        """Upright RGB in sRGB, as a reference is seen."""
        return load_image(self.stored)

    def original(self) -> Image.Image:
        """Upright RGB in its own colours, with its profile."""
        return load_original(self.stored)

    def mask(self, invert: bool) -> Image.Image:
        """As a mask, L: white is regenerated."""
        return load_mask(self.stored, invert=invert)

    def blocks(self) -> BlockRecord | None:
        """What it says of its blocks; None where it says nothing that can be read."""
        try:
            return metadata_of(self.stored, self.path).blocks
        except RequestError:  # its chunks are damaged; its pixels are not
            return None


class InputFiles:
    """The picture files of a run: each is opened, checked and hashed once.

    A file that was changed meanwhile is opened again, and so is one that others have pushed out:
    at most `pixels` of them are held.
    """

    def __init__(self, pixels: int = HELD_PIXELS) -> None:
        self.pixels = pixels
        self.files: dict[tuple[str, int, int], InputFile] = {}

    def __getitem__(self, path: str) -> InputFile:
        """Raise `ImageError` for a file that cannot be read, named by its path."""
        try:
            state = os.stat(path)
            key = path, state.st_mtime_ns, state.st_size
        except (OSError, ValueError):
            return InputFile(path)  # says what is wrong with it
        file = self.files.pop(key, None) or InputFile(path)
        self.files[key] = file
        held = sum(one.stored.width * one.stored.height for one in self.files.values())
        while held > self.pixels and len(self.files) > 1:
            oldest = self.files.pop(next(iter(self.files)))
            held -= oldest.stored.width * oldest.stored.height
        return file

    def load(self, request: Request) -> Inputs:
        """Every picture of a request; the mask comes back in the size of its image.

        Raises:
            ImageError: a file that cannot be read, or a mask that does not fit its image.
        """
        references = tuple(self[item.path].picture() for item in request.reference_images)
        pictures = {name: self[at].picture() for name, at in request.picture_controls.items()}
        further: dict[str, Any] = {**request.controls, **pictures}
        if request.image is None:
            return Inputs(references, further=further)
        image = self[request.image].original()
        if request.mask_image is None:
            return Inputs(references, image, further=further)
        try:
            mask = match_mask(self[request.mask_image].mask(request.invert_mask), image.size)
        except ImageError as error:
            said = str(error).removeprefix("image: ").removeprefix(f"{request.mask_image}: ")
            raise ImageError(f"{request.mask_image}: {said}") from None
        return Inputs(references, image, mask, further)

    def hashes(self, request: Request) -> dict[str, str]:
        """sha256 of every file of a request, by its path."""
        return {path: self[path].sha256 for path in request.paths}


def check_inputs(
    jobs: Iterable[Job],
    files: InputFiles,
    frame_of: Callable[[Request, Image.Image | None], Frame],
) -> list[Frame]:
    """Open the files of all jobs once, to find what is wrong before anything is generated.

    Returns the size of each job's picture, as `frame_of` finds it from a request and its image.

    Raises:
        RequestError: a file that cannot be used, a size that is none of the model's, or a mask
            that leaves nothing to generate at the picture's; the line it comes from is named.
    """
    known: dict[object, Frame] = {}
    frames = []
    for job in jobs:
        request = job.request
        named = tuple(request.paths), request.mask_image, request.invert_mask
        case = named, request.height, request.width
        if case not in known:
            known[case] = _checked(job, files, frame_of)
        frames.append(known[case])
    return frames


def _checked(
    job: Job, files: InputFiles, frame_of: Callable[[Request, Image.Image | None], Frame]
) -> Frame:
    request = job.request
    try:
        inputs = files.load(request)
        frame = frame_of(request, inputs.image)
    except (ImageError, RequestError) as error:
        raise RequestError(located(job, str(error))) from None
    if inputs.mask is not None and frame.fit_mask(inputs.mask).getbbox() is None:
        raise RequestError(
            located(
                job,
                f"{request.mask_image}: keeps the whole image, so there is nothing to generate; "
                "paint white what is to be regenerated, or invert the mask",
            )
        )
    return frame


def input_digest(hashes: Mapping[str, str]) -> str | None:
    """Twelve hex digits that change with the contents of any input file; None without any."""
    if not hashes:
        return None
    return hashlib.sha256("".join(hashes.values()).encode()).hexdigest()[:12]


def located(job: Job, message: str) -> str:
    """A message with the line that it is about, where there is one."""
    return f"{job.where}: {message}" if job.where else message
