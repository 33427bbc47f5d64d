"""Requests checked against the model, their files opened, before anything is generated."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from ufc.conditioning.conditioning import Conditioning
from ufc.conditioning.edits.outpainting import extended_size
from ufc.conditioning.frame import Frame
from ufc.conditioning.sequence import MAX_REFERENCES
from ufc.io.batch_plan import edit_of, with_model_defaults
from ufc.io.embedded_tokens import carried_codes
from ufc.io.inputs import InputFiles
from ufc.io.validation import RequestError
from ufc.pipeline import UFCPipeline
from ufc.request import Request, Row
from ufc.sampling.orders import find_order
from ufc_base.images import ImageError


def check_rows(rows: Sequence[Row], pipe: UFCPipeline, files: InputFiles) -> list[Row]:
    """Find what does not fit the model or cannot be opened, before anything is generated.

    Returns the rows with all settings, and the height and width of those edits whose image chose
    another size than the model's own, so that only pictures of one size are generated together.

    Raises:
        RequestError: with the line that it comes from.
    """
    frames: dict[object, Frame] = {}  # many pictures have the same files
    checked = []
    for row in rows:
        row = with_model_defaults(row, pipe.defaults)
        request, settings = row.request, row.request.settings
        size = settings.height, settings.width
        try:
            request.check_controls()
            check_order(settings.order, pipe)
            pipe.check_upscale(settings.upscale)
            pipe.check_scores(settings, [request.expanded_prompt or request.prompt])
            frame = pipe.frames.choose(None, *size)
            if named := request.conditioning.pictures:
                case = str(named), str(edit_of(request)), size
                frame = frames[case] = frames.get(case) or check_inputs(request, pipe, files)
        except (ImageError, RequestError) as error:
            raise RequestError(row.of(str(error))) from None
        if not settings.original_size and frame != pipe.frames.default:
            row = row.changed(height=frame.size[0], width=frame.size[1])
        checked.append(row)
    return checked


def check_inputs(request: Request, pipe: UFCPipeline, files: InputFiles) -> Frame:
    """Open the files of a request, to find what is wrong with them; the size of its picture.

    Raises:
        ImageError: a file that cannot be used.
        RequestError: more references than a model can tell apart, a size that is none of the
            model's, blocks that are not there, or nothing is left to generate.
    """
    count = len(request.reference_images)
    if count > MAX_REFERENCES:
        raise RequestError(
            f"reference_images: got {count}, wanted {MAX_REFERENCES} at most; leave some out"
        )
    given = files.load(request.conditioning)
    frame = frame_of(pipe, request, given.image, files)
    if given.mask_image is not None and frame.fit_mask(given.mask_image).getbbox() is None:
        raise RequestError(
            f"{request.mask_image}: keeps the whole image, so there is nothing to generate; "
            "paint white what is to be regenerated, or invert the mask"
        )
    request.check_blocks(frame.cells)
    return frame


def frame_of(
    pipe: UFCPipeline, request: Request, image: Image.Image | None, files: InputFiles
) -> Frame:
    """The size of a request's picture; `image` is the one to edit.

    Raises:
        RequestError: a height or width that the model has not.
    """
    if image is None or request.image is None:
        return pipe.frames.choose(None, request.height, request.width)
    if request.outpaint:
        own = pipe.frames.choose(image.size)
        size = extended_size(image.size, request.outpaint, own)
        return pipe.frames.choose(size, request.height, request.width)
    if request.height is None and request.width is None:
        record = files[request.image].blocks()
        if record is not None and carried_codes(pipe, image, record) is not None:
            return pipe.frames.of(record.grid_size)  # it keeps the shape that it was made in
    return pipe.frames.choose(image.size, request.height, request.width)


def check_order(order: str, pipe: UFCPipeline) -> None:
    """Raise `RequestError` where the model has not learnt an order."""
    if find_order(order).causal:
        try:
            pipe.transformer.check_autoregressive()
        except ValueError as error:
            raise RequestError(f"order: {error}") from None


def opened(pipe: UFCPipeline, request: Request, files: InputFiles) -> Conditioning:
    """A request's conditioning with its files opened, and the codes that the image's file carries,
    where it is edited in the size that it has."""
    given = files.load(request.conditioning)
    if request.expanded_prompt:
        given = given.model_copy(update={"prompt": request.expanded_prompt})
    if given.image is None or given.outpaint:
        return given
    frame = pipe.frames.choose(given.image.size, request.height, request.width)
    record = files[request.image].blocks()
    if record is None or record.grid_size != frame.grid:
        return given
    codes = carried_codes(pipe, given.image, record)
    return given.model_copy(update={"codes": codes})
