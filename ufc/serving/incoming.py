"""From the body of a request to pictures to generate: read, checked and opened before it waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from PIL import Image

from ufc.call_arguments import prepare_edits
from ufc.conditioning.conditioning import OF_AN_EDIT, Conditioning, picture_kinds, request_controls
from ufc.conditioning.edits.outpainting import extended_size
from ufc.conditioning.kinds import Reference, References
from ufc.conditioning.sequence import MAX_REFERENCES
from ufc.io.batch_plan import plan, with_model_defaults
from ufc.io.validation import RequestError
from ufc.pipeline import UFCPipeline
from ufc.pipeline.judging import least_scores
from ufc.request import Request, Row
from ufc.requests.checks import check_rows, opened
from ufc.requests.loading import Loaded
from ufc.requests.steps import expected_steps
from ufc.sampling.generation_config import BATCH_SETTINGS, GenerationConfig
from ufc.serving.bodies import COUNT, WEIGHTS, ImageRequest
from ufc.serving.pictures import Uploads
from ufc.serving.settings import ServerSettings

_numbers = count()


@dataclass(frozen=True)
class Wanted:
    """The pictures of one request, ready to be generated.

    Attributes:
        rows: a request, seed and index for each picture.
        conditioning: of all of them, with its pictures opened.
        hashes: sha256 of what came with the request, by name.
        company: pictures of requests where this is equal may be generated together.
        grid: (rows, columns) of blocks of a picture.
        steps: refinement steps of a picture, at most.
        tokens: of the prompt, and of the reference images.
        canvases: that are generated for a picture: candidates times best of.
    """

    rows: list[Row]
    conditioning: Conditioning
    hashes: Mapping[str, str]
    company: tuple[Any, ...]
    grid: tuple[int, int]
    steps: int
    tokens: tuple[int, int]
    canvases: int


def prepare(body: ImageRequest, loaded: Loaded, settings: ServerSettings) -> Wanted:
    """What a body asks for.

    Raises:
        ValueError: it cannot be carried out, or is beyond what this server allows.
    """
    pipe, uploads = loaded.pipe, Uploads(settings.max_pixels)
    given = settings_of(body)
    controls = controls_of(body, uploads)
    check_size(body, pipe)
    row = with_model_defaults(Row(Request(**controls, **given), ""), pipe.defaults)
    row.request.check_controls()
    check_clip(row.request, pipe)
    check_limits(row.request, pipe, settings)
    (row,) = check_rows([row], pipe, uploads)
    check_extended(row.request, uploads, pipe, settings)
    conditioning = small(opened(pipe, row.request, uploads), pipe)
    config = GenerationConfig.over(pipe.defaults, row.request.settings.explicit())
    codes = pipe.transformer.config.codes
    frame, (edit,) = prepare_edits([conditioning], pipe.frames, config, codes)
    check_area(frame.cells, pipe, settings)
    free = int((~edit.locked_T).sum())
    shared = [name for name in BATCH_SETTINGS if name not in ("height", "width")]
    alone = next(_numbers) if config.original_size else None  # its part has a shape of its own
    return Wanted(
        plan([row], suffix=".png"),
        conditioning,
        uploads.hashes(row.request.conditioning.pictures),
        (*(getattr(config, name) for name in shared), frame.grid, alone),
        frame.grid,
        expected_steps(config, free),
        count_tokens(conditioning, pipe),
        config.num_candidates * config.best_of,
    )


def settings_of(body: ImageRequest) -> dict[str, Any]:
    """The sampling settings of a body, under the names that requests have."""
    given = body.own_settings
    if body.sides and given.keys() & {"height", "width"}:
        raise RequestError("size: got height or width too; give one of them")
    return given | body.sides | {COUNT: body.n}


def check_clip(request: Request, pipe: UFCPipeline) -> None:
    """Raise `RequestError` where CLIP is to judge and was not loaded: no client can do that."""
    config = request.settings
    if pipe.clip is None and (config.clip_weight or "clip" in least_scores(config)):
        name = "clip_weight" if config.clip_weight else "min_score"
        raise RequestError(f"{name}: this server has no CLIP; leave it out, or ask for contrastive")


def check_size(body: ImageRequest, pipe: UFCPipeline) -> None:
    """Raise `RequestError`, which names the size, for one that the model has not."""
    try:
        pipe.frames.choose(None, **body.sides)
    except RequestError as error:
        raise RequestError(f'size: {error}; or give "auto"') from None


def controls_of(body: ImageRequest, uploads: Uploads) -> dict[str, Any]:
    """The controls of a body; its pictures are taken into `uploads`, whose names stand for them."""
    check_references(body)
    given: dict[str, Any] = {}
    for name, control in request_controls().items():
        value = getattr(body, name, None)
        if value is None:
            continue
        if isinstance(control.kind, References):
            weights = getattr(body, WEIGHTS, None) if name == "reference_images" else None
            given[name] = references(name, value, weights, uploads)
        elif isinstance(value, bytes):
            given[name] = uploads.add(name, value)
        elif name != "image":
            given[name] = control.kind.from_json(name, value)
    if getattr(body, WEIGHTS, None) and "reference_images" not in given:
        raise RequestError(f"{WEIGHTS}: there are no reference_images that they weigh")
    if isinstance(getattr(body, "image", None), list):
        return edit_of(body, given, uploads)
    return given


def check_references(body: ImageRequest) -> None:
    """Raise `RequestError` for more references than a model can tell apart.

    They are counted before the first is decoded: a small file may hold a large picture.
    """
    kinds = {name: one.kind for name, one in request_controls().items()}
    named = [name for name, kind in kinds.items() if isinstance(kind, References)]
    count = sum(len(getattr(body, name, None) or ()) for name in named)
    images = getattr(body, "image", None)
    if isinstance(images, list):
        count += len(images) - 1  # the first may be the one to edit
    if count > MAX_REFERENCES:
        raise RequestError(
            f"reference_images: got {count}, wanted {MAX_REFERENCES} at most; leave some out"
        )


def references(
    name: str, given: list[Any], weights: list[float] | None, uploads: Uploads
) -> tuple[Reference, ...]:
    """Weighed references, from bytes or from objects with a weight of their own."""
    if weights is not None and len(weights) != len(given):
        raise RequestError(f"{WEIGHTS}: got {len(weights)} for {len(given)} images; give one each")
    found = []
    for i, one in enumerate(given):
        data = one if isinstance(one, bytes) else one.b64_json
        own = 1.0 if isinstance(one, bytes) else one.weight
        weight = own if weights is None else weights[i]
        found.append(Reference(uploads.add(f"{name}[{i}]", data), weight))
    return tuple(found)


def edit_of(body: Any, given: dict[str, Any], uploads: Uploads) -> dict[str, Any]:
    """The controls of an edit as the API that this follows means it.

    Transparency says what is regenerated, and a strength how far. Further images, and one of which
    nothing is kept, are references.
    """
    images = [uploads.add(f"image[{i}]", data) for i, data in enumerate(body.image)]
    if body.mask is not None:
        if "mask_image" in given:
            raise RequestError("mask: got mask_image too; give one of them")
        mask = uploads.add("mask", body.mask)
        given["mask_image"] = uploads.cut_out("mask_image", mask) or mask
    elif not given.keys() & set(OF_AN_EDIT):
        mask_image = uploads.cut_out("mask_image", images[0])
        if mask_image is not None:
            given["mask_image"] = mask_image
    if given.keys() & set(OF_AN_EDIT) or body.strength is not None:
        given["image"] = images.pop(0)
    further = tuple(map(Reference, images))
    given["reference_images"] = (*further, *given.get("reference_images", ()))
    return given


def check_limits(request: Request, pipe: UFCPipeline, settings: ServerSettings) -> None:
    """Raise `RequestError` for more than this server allows."""
    config = GenerationConfig(**request.settings.explicit())
    pictures = config.num_images_per_prompt
    canvases = pictures * config.num_candidates * config.best_of
    again = config.min_compliance is not None or config.min_score is not None
    attempts = config.max_attempts if again else 1
    for name, got, most in (
        ("n", pictures, min(settings.max_images, settings.max_queue)),
        ("num_inference_steps", config.num_inference_steps, settings.max_steps),
        ("num_candidates", canvases, settings.max_canvases),
        ("max_attempts", attempts, settings.max_attempts),
    ):
        if got > most:
            what = " pictures times candidates times best_of" if name == "num_candidates" else ""
            raise RequestError(f"{name}: got {got}{what}, and this server allows {most}")
    check_area(pipe.frames.choose(None, config.height, config.width).cells, pipe, settings)


def check_area(cells: int, pipe: UFCPipeline, settings: ServerSettings) -> None:
    """Raise `RequestError` for a picture of more blocks than this server allows."""
    most = int(settings.max_area * pipe.frames.default.cells)
    if cells > most:
        raise RequestError(f"size: got {cells} blocks, and this server allows {most}")


def check_extended(
    request: Request, uploads: Uploads, pipe: UFCPipeline, settings: ServerSettings
) -> None:
    """Raise `RequestError` for an image that outpainting would make larger than uploads may be."""
    if request.image and request.outpaint:
        size = uploads[request.image].stored.size
        width, height = extended_size(size, request.outpaint, pipe.frames.choose(size))
        if width * height > settings.max_pixels:
            raise RequestError(
                f"outpaint: got {width} x {height} pixels, and this server allows "
                f"{settings.max_pixels:,}; add fewer blocks, or shrink the image"
            )


def small(given: Conditioning, pipe: UFCPipeline) -> Conditioning:
    """The same, with pictures that become codes in the size in which they do: less to hold."""

    def fit(image: Image.Image) -> Image.Image:
        return pipe.frames.choose(image.size).fit(image)

    def keep(image: Image.Image) -> Image.Image:
        return image

    kinds = picture_kinds().items()
    return given.with_pictures({name: fit if one.seen == "rgb" else keep for name, one in kinds})


def count_tokens(given: Conditioning, pipe: UFCPipeline) -> tuple[int, int]:
    """Tokens of the prompt, and of the reference images."""
    words = len(pipe.encode_text(given.prompt, []))
    frames = (pipe.frames.choose(one.picture.size) for one in given.reference_images)
    return words, sum(frame.cells for frame in frames)
