"""The picture files of a request: opened, checked against one another, and named by their hash."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ufc.conditioning.frame import Frame
from ufc.io.batch_plan import Job
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


@dataclass(frozen=True)
class Inputs:
    """Pictures of one request: references and image RGB, mask L (white is drawn anew).

    References are in sRGB; the image has its own colours, and its profile.
    """

    references: tuple[Image.Image, ...] = ()
    image: Image.Image | None = None
    mask: Image.Image | None = None


def load_inputs(request: Request) -> Inputs:
    """Open every file of a request; the mask comes back in the size of its image.

    Raises:
        ImageError: a file that cannot be read, or a mask that does not fit its image.
    """
    references = tuple(load_image(item.path) for item in request.reference_images)
    if request.image is None:
        return Inputs(references)
    image = load_original(request.image)
    if request.mask_image is None:
        return Inputs(references, image)
    mask = load_mask(request.mask_image, invert=request.invert_mask)
    try:
        return Inputs(references, image, match_mask(mask, image.size))
    except ImageError as error:
        raise ImageError(f"{request.mask_image}: {error}") from None


def check_inputs(
    jobs: Iterable[Job], frame_of: Callable[[Request, Image.Image | None], Frame]
) -> list[Frame]:
    """Open the files of all jobs once, to find what is wrong before anything is drawn.

    Returns the size of each job's picture, as `frame_of` finds it from a request and its image.

    Raises:
        RequestError: a file that cannot be used, a size that is none of the model's, or a mask
            that leaves nothing to draw at the picture's; the line it comes from is named.
    """
    known: dict[object, Frame] = {}
    frames = []
    for job in jobs:
        request = job.request
        files = request.reference_images, request.image, request.mask_image, request.invert_mask
        case = files, request.height, request.width
        if case not in known:
            known[case] = _checked(job, frame_of)
        frames.append(known[case])
    return frames


def _checked(job: Job, frame_of: Callable[[Request, Image.Image | None], Frame]) -> Frame:
    request = job.request
    try:
        inputs = load_inputs(request)
        frame = frame_of(request, inputs.image)
    except (ImageError, RequestError) as error:
        raise RequestError(located(job, str(error))) from None
    if inputs.mask is not None and frame.fit_mask(inputs.mask).getbbox() is None:
        raise RequestError(
            located(
                job,
                f"{request.mask_image}: keeps the whole image, so nothing is left to draw; "
                "paint white what is to be drawn anew, or invert the mask",
            )
        )
    return frame


def input_hashes(request: Request, known: Mapping[str, str] | None = None) -> dict[str, str]:
    """sha256 of every input file, by its path; those that are `known` are not read again."""
    known = known or {}
    paths = [item.path for item in request.reference_images]
    paths += [path for path in (request.image, request.mask_image) if path is not None]
    return {path: known.get(path) or sha256(Path(path)) for path in paths}


def input_digest(hashes: Mapping[str, str]) -> str | None:
    """Twelve hex digits that change with the contents of any input file; None without any."""
    if not hashes:
        return None
    return hashlib.sha256("".join(hashes.values()).encode()).hexdigest()[:12]


def located(job: Job, message: str) -> str:
    """A message with the line that it is about, where there is one."""
    return f"{job.where}: {message}" if job.where else message
