"""The arguments of a pipeline call, spread over its pictures.

One value serves every picture; a list has an entry for each. What is already a list for one
picture (references, blocks) becomes a batch as a list of lists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ufc.conditioning.conditioning import (
    OF_AN_EDIT,
    OF_AN_IMAGE,
    Conditioning,
    control_fields,
    picture_kinds,
)
from ufc.conditioning.edits.original_size import prepare
from ufc.conditioning.edits.outpainting import extend
from ufc.conditioning.frame import Frame, Frames
from ufc.conditioning.kinds import Embeds, Picture, Reference
from ufc.conditioning.known_tokens import EditCanvas, blank_edit, edit_canvas, enlarged_edit
from ufc.io.validation import RequestError, check_integer, check_number, shown
from ufc.sampling.config import SamplerConfig
from ufc.sampling.generation_config import SETTINGS, GenerationConfig
from ufc.sampling.seeds import count_up, random_seed
from ufc_base.images import ImageError, load_image, load_mask, load_original

NAMED = ("conditioning", "reference_weights")  # of a call's controls, and no fields themselves
STRENGTH = 0.5  # of an image that is changed all over, as of diffusers' image to image


def sort_arguments(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The controls among a call's arguments, and its sampling settings but the seed.

    Raises:
        TypeError: a keyword that is neither.
        ValueError: a `conditioning` beside single controls.
    """
    fields = control_fields()
    controls: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    for name, value in given.items():
        if name in SETTINGS:
            settings[name] = value
        elif name not in fields and name not in NAMED:
            raise TypeError(f"UFCPipeline got an unexpected keyword argument {name!r}")
        elif value is not None and value is not False:
            kind = fields[name].kind if name in fields else None
            if isinstance(kind, Embeds):
                controls[name] = list(value) if getattr(value, "ndim", 0) == 3 else value
            elif isinstance(kind, Picture) and not kind.several:
                controls[name] = list(value) if getattr(value, "ndim", 0) == 4 else value
            elif isinstance(kind, Picture) or name == "conditioning":
                controls[name] = value
            else:
                controls[name] = plain(value)
    if "conditioning" in controls and len(controls) > 1:
        more = ", ".join(name for name in controls if name != "conditioning")
        raise ValueError(f"got conditioning and also {more}: put it into the conditioning")
    return controls, settings


def with_strength(config: GenerationConfig, given: Sequence[Conditioning]) -> GenerationConfig:
    """The settings with a strength, where there are images and nothing says what is to be changed.

    Codes without an image say it by themselves. One strength is for all pictures of a call.
    """
    images = [one for one in given if one.image is not None]
    edited = len(images) < sum(one.image is not None or one.codes is not None for one in given)
    edited |= any(getattr(one, name) is not None for one in images for name in OF_AN_EDIT)
    if config.strength is not None or edited or not images:
        return config
    return config.model_copy(update={"strength": STRENGTH})


def refuse_pair(temperature: Any) -> None:
    """Raise `RequestError` for aMUSEd's pair of temperatures, which are another setting's here."""
    if is_list(temperature):
        raise RequestError(
            f"temperature: got {shown(temperature)}, wanted a number, of the codes' distribution; "
            "aMUSEd's pair is of the noise by which places are chosen: give (2, 0) as "
            "choice_temperature=2"
        )


def per_picture(controls: Mapping[str, Any], rows: int, copies: int) -> list[Conditioning]:
    """The conditioning of a call's pictures, `copies` of each row, its pictures opened once.

    Raises:
        ValueError: lists of different lengths, a value of another kind than its control has, what
            is no picture, weights without references or outside 0..10.
    """
    if "conditioning" in controls:
        found = spread(controls["conditioning"], rows, "conditioning")
    else:
        found = [Conditioning(**values) for values in spread_controls(controls, rows)]
    made: dict[tuple[str, int], Image.Image] = {}
    places = {name: partial(opened, made, name, kind) for name, kind in picture_kinds().items()}
    return [one for given in found for one in [given.with_pictures(places)] * copies]


def spread_controls(controls: Mapping[str, Any], rows: int) -> list[dict[str, Any]]:
    """The controls of each row by name."""
    fields, values = control_fields(), dict(controls)
    weights = spread_lists(values.pop("reference_weights", None), rows, "reference_weights")
    pictures = spread_lists(values.pop("reference_images", None), rows, "reference_images")
    several = {name: fields[name].kind.several for name in values}
    lists = {
        name: (spread_lists if several[name] else spread)(value, rows, name)
        for name, value in values.items()
    }
    found = [
        {
            name: as_list(value[row]) if several[name] and value[row] is not None else value[row]
            for name, value in lists.items()
        }
        for row in range(rows)
    ]
    for row in range(rows):
        references = as_list(pictures[row])
        for one in references:
            check_picture("reference_images", one)
        given = as_list(weights[row]) or [1.0] * len(references)
        check_weights(given, len(references))
        found[row]["reference_images"] = tuple(map(Reference, references, given))
    return found


def latent_controls(latents: Any, given: Mapping[str, Any], codebook: int) -> dict[str, Any]:
    """Known codes among masked ones, (B, rows, columns), as the controls that they are.

    What is no code of the `codebook` is masked. `given` has the call's other controls.

    Raises:
        ValueError: another shape, or controls beside them that say what is known too.
    """
    beside = sorted(OF_AN_IMAGE & given.keys()) + ["conditioning"] * ("conditioning" in given)
    if beside:
        raise ValueError(f"got latents and also {', '.join(beside)}: give one of them")
    codes = torch.as_tensor(latents)
    if codes.ndim != 3 or codes.is_floating_point():
        raise ValueError(
            f"latents are {codes.dtype} of shape {tuple(codes.shape)}, wanted whole numbers of "
            "shape (B, rows, columns), codes or the mask's"
        )
    known = (codes >= 0) & (codes < codebook)
    return {
        "codes": codes.where(known, torch.zeros_like(codes)).flatten(1).tolist(),
        "preserve_blocks": [row.nonzero().squeeze(1).tolist() for row in known.flatten(1)],
    }


def prepare_edits(
    given: Sequence[Conditioning], frames: Frames, config: GenerationConfig, codebook: int
) -> tuple[Frame, list[EditCanvas]]:
    """The size of a call's pictures, and what is kept in each; every edit is prepared once.

    An edit has the size that `frames` chooses for its image, unless height and width say
    otherwise.

    Raises:
        ValueError: codes that are not a grid of the `codebook`, a size that is none of the
            model's, pictures of different sizes, and what `edit_canvas` refuses.
    """
    prepared: dict[int, tuple[Frame, EditCanvas]] = {}
    for one in given:
        if id(one) not in prepared:
            prepared[id(one)] = prepare_edit(one, frames, config, codebook)
    check_one_size([frame for frame, _ in prepared.values()])
    return prepared[id(given[0])][0], [prepared[id(one)][1] for one in given]


def prepare_edit(
    one: Conditioning, frames: Frames, config: GenerationConfig, codebook: int
) -> tuple[Frame, EditCanvas]:
    """The size of one picture, and what is kept in it; see `prepare_edits`."""
    image, mask, blocks, codes = one.image, one.mask_image, one.preserve_blocks, one.codes
    photograph, partly = None, of_strength(config) < 1
    if image is not None and mask is blocks is one.outpaint is None and config.strength is not None:
        blocks = ()  # all of it is changed, as far as the strength says
    if partly and one.outpaint is not None:
        raise RequestError("strength: what is outpainted is all new; leave the strength out")
    if mask is not None and one.invert_mask:
        mask = load_mask(mask, invert=True)
    if one.outpaint is not None:
        image = outpainted(one)
        image, mask = extend(image, one.outpaint, frames.choose(image.size))
        codes = None
    if image is not None and config.original_size:  # the codes are of another part, if of any
        check_blocks(blocks, frames.choose(image.size))
        photograph = prepare(image, mask, blocks, frames)
        image, mask, blocks, codes = photograph.part, photograph.changed, None, None
    size, count = image and image.size, None if codes is None else len(codes)
    frame = frames.choose(size, config.height, config.width, count)
    if size is not None and count is not None:
        check_codes_grid(frames.own_grid(size, count), frame.grid)
    codes_T = None if codes is None else check_codes(codes, frame.grid, codebook)
    check_blocks(blocks, frame)
    edit = edit_canvas(
        image, mask, blocks, frame.grid, frame.size, codes_T, frame.stretch, whole=partly
    )
    if edit is None:
        return frame, blank_edit(frame.grid, frame.size)
    enlarged = None
    if image is not None and photograph is None and config.upscale > 1:
        size = frame.size[0] * config.upscale, frame.size[1] * config.upscale
        enlarged = enlarged_edit(image, mask, blocks, frame.grid, size, frame.stretch)
    return frame, replace(edit, photograph=photograph, enlarged=enlarged)


def outpainted(one: Conditioning) -> Image.Image:
    """The picture to enlarge. Raises `RequestError` without one, or with more to do than that."""
    if one.image is None:
        raise RequestError("outpaint: needs the image that is made larger; give an image too")
    if one.mask_image is not None or one.preserve_blocks is not None:
        raise RequestError("got outpaint beside mask_image or preserve_blocks; give one of them")
    image: Image.Image = one.image
    return image


def check_blocks(blocks: Sequence[int] | None, frame: Frame) -> None:
    """Raise `RequestError` for what is no block of a picture of this size."""
    for block in blocks or ():
        check_integer("preserve_blocks", block, 0, frame.cells - 1)


def check_one_size(frames: Sequence[Frame]) -> None:
    """Raise `ValueError` unless all pictures of a call have one size: they are one batch."""
    grids = sorted({frame.grid for frame in frames})
    if len(grids) > 1:
        got = ", ".join(f"{rows} x {columns}" for rows, columns in grids)
        raise ValueError(
            f"the pictures of this call have different grids, {got} blocks: give height and "
            "width, or call once for each shape"
        )


def count_rows(copies: int, controls: Mapping[str, Any], chance: Sequence[Any]) -> int:
    """How many rows of `copies` pictures a call asks for: the length of its lists.

    Args:
        copies: pictures a row.
        controls: controls by name; where one is a list for one row already, a list of lists is a
            batch.
        chance: seeds and generators, whose lists have one a row or one a picture.

    Raises:
        ValueError: lists that are empty or of different lengths, or no copies.
    """
    fields = control_fields()
    several = {name for name in controls if name in fields and fields[name].kind.several}
    several.add("reference_weights")
    if copies < 1:
        raise ValueError(f"num_images_per_prompt is {copies}, wanted 1 or more")
    lengths = {
        len(value)
        for name, value in controls.items()
        if (is_batch if name in several else is_list)(value)
    }
    pictures = copies * max(lengths, default=1)
    lengths |= {len(value) for value in chance if is_list(value) and len(value) != pictures}
    if 0 in lengths:
        raise ValueError("a list of this call is empty: leave it out, or give an entry a picture")
    lengths.discard(1)
    if len(lengths) > 1:
        raise ValueError(f"the lists of this call have different lengths: {sorted(lengths)}")
    return lengths.pop() if lengths else 1


def sampler_config(config: GenerationConfig) -> SamplerConfig:
    """The sampler's share of the settings."""
    return SamplerConfig(
        order=config.order,
        steps=max(1, int(config.num_inference_steps * of_strength(config))),
        candidates=config.num_candidates,
        temperature=config.temperature,
        top_k=config.top_k,
        top_p=config.top_p,
        choice_temperature=config.choice_temperature,
        patience=config.patience,
        time_budget=config.time_budget,
        score_weights={
            "compliance": config.compliance_weight,
            "fidelity": 1 - config.compliance_weight,
        },
        score_steps=config.score_steps,
    )


def of_strength(config: GenerationConfig) -> float:
    """How far images are changed, 0..1."""
    return 1.0 if config.strength is None else config.strength


def is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def is_batch(value: Any) -> bool:
    """Whether an argument that is a list for one picture already is a list of such."""
    return is_list(value) and any(is_list(entry) or entry is None for entry in value)


def spread(value: Any, rows: int, name: str) -> list[Any]:
    """One entry a picture, from one for all or a list."""
    if not is_list(value):
        return [value] * rows
    if len(value) == 1:
        return list(value) * rows
    if len(value) != rows:
        raise ValueError(f"{name} has {len(value)} entries for {rows} pictures: give one each")
    return list(value)


def spread_lists(value: Any, rows: int, name: str) -> list[Any]:
    """Like `spread`, for arguments that are lists already for one picture."""
    return spread(value, rows, name) if is_batch(value) else [value] * rows


def plain(value: Any) -> Any:
    """Words and numbers in Python's own types and lists, from arrays, tensors, ranges and sets."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, range | set | frozenset):
        return sorted(value)
    return [plain(entry) for entry in value] if is_list(value) else value


def check_codes_grid(own: tuple[int, int] | None, grid: tuple[int, int]) -> None:
    """Raise `ValueError` where codes are of an image of `own` blocks, and `grid` is made."""
    if own is not None and own != grid:
        raise ValueError(
            f"codes are those of the image's {own[0]} x {own[1]} blocks, but height and width "
            f"ask for {grid[0]} x {grid[1]}: leave the codes out"
        )


def check_codes(codes: Sequence[int], grid: tuple[int, int], codebook: int) -> Tensor:
    """The codes of one grid, (T,) int64.

    Raises `ValueError` where they are too many, too few, or not of the codebook.
    """
    if len(codes) != grid[0] * grid[1]:
        raise ValueError(f"got {len(codes)} codes, wanted the {grid[0] * grid[1]} of a whole grid")
    if not all(0 <= code < codebook for code in codes):
        raise ValueError(f"codes must be 0 to {codebook - 1}: these are of another model")
    return torch.tensor(codes, dtype=torch.int64)


def opened(made: dict[tuple[str, int], Image.Image], name: str, kind: Picture, picture: Any) -> Any:
    """A picture as a file's would be: upright, 8-bit RGB, alpha on white; `made` has the others.

    A mask is left for the edit that it is part of. Raises `ValueError` where it is no picture, or
    cannot be read.
    """
    check_picture(name, picture)
    key = kind.seen, id(picture)
    if kind.seen == "mask":
        return picture
    if key not in made:
        try:
            made[key] = (load_original if kind.seen == "own" else load_image)(picture)
        except ImageError as error:
            raise ImageError(f"{name}: {str(error).removeprefix('image: ')}") from None
    return made[key]


def check_picture(name: str, picture: Any) -> None:
    """Raise `ValueError` unless it is a PIL picture, an array or a tensor."""
    if not isinstance(picture, Image.Image | np.ndarray | Tensor):
        raise ValueError(
            f"{name} has a {type(picture).__name__}, wanted PIL pictures, arrays or tensors: "
            "open files with ufc_base.images.load_image"
        )


def check_weights(weights: Sequence[float], references: int) -> None:
    """Raise `ValueError` unless there is one from 0 to 10 for each reference image."""
    if len(weights) != references:
        raise ValueError(
            f"got {references} reference images and {len(weights)} weights: give one each"
        )
    for weight in weights:
        check_number("reference_weights", weight, 0.0, 10.0)


def as_list(value: Any) -> list[Any]:
    """A list of what may be missing, a single thing or several."""
    if value is None:
        return []
    return list(value) if is_list(value) else [value]


def spread_seeds(seed: Any, rows: int, copies: int, generator: Any) -> list[int | None]:
    """A seed for every picture: each row counts up from its own, a random one where none was given.

    Raises:
        ValueError: a seed beside a generator, or one out of range.
    """
    count = rows * copies
    if generator is not None:
        if seed is not None:
            raise ValueError("got both seed and generator: give one of them")
        return [None] * count
    given = as_list(seed) or [None] * rows
    checked = [GenerationConfig(seed=one).seed for one in given]
    seeds = [random_seed() if one is None else one for one in checked]
    if len(seeds) == count:
        return list(seeds)
    return [own for first in spread(seeds, rows, "seed") for own in count_up(first, copies)]


def make_generators(seeds: Sequence[int | None], generator: Any) -> list[torch.Generator]:
    """A CPU generator for each picture, so that none depends on its batch.

    Raises:
        ValueError: more than one are given, and not one a picture.
    """
    if generator is None:
        return [torch.Generator().manual_seed(seed or 0) for seed in seeds]
    given = [on_cpu(one) for one in as_list(generator)]
    if len(given) == len(seeds):
        return given
    if len(given) != 1:
        raise ValueError(f"got {len(given)} generators for {len(seeds)} pictures: give one each")
    sampled = torch.randint(2**62, (len(seeds),), generator=given[0]).tolist()
    return [torch.Generator().manual_seed(seed) for seed in sampled]


def on_cpu(generator: torch.Generator) -> torch.Generator:
    """A generator as it is, or for one of another device a CPU generator seeded from it."""
    if generator.device.type == "cpu":
        return generator
    place = generator.device
    seed = torch.randint(2**62, (1,), generator=generator, device=place).item()
    return torch.Generator().manual_seed(int(seed))
