"""The arguments of a pipeline call, spread over its pictures.

One value serves every picture; a list has an entry for each. What is already a list for one
picture (references, blocks) becomes a batch as a list of lists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ufc.conditioning.conditioning import Conditioning
from ufc.conditioning.controls import CONTROLS, further_controls
from ufc.conditioning.frame import Frame, Frames
from ufc.conditioning.known_tokens import edit_canvas
from ufc.conditioning.original_size import prepare
from ufc.conditioning.outpainting import extend
from ufc.io.validation import RequestError, check_integer, check_number, check_text
from ufc.request import check_added
from ufc.sampling.config import SamplerConfig
from ufc.sampling.generation_config import GenerationConfig
from ufc.sampling.seeds import count_up, random_seed
from ufc_base.images import ImageError, load_image, load_original


def per_picture(
    rows: int,
    copies: int,
    frames: Frames,
    *,
    height: int | None,
    width: int | None,
    prompt: Any,
    negative_prompt: Any,
    reference_images: Any,
    reference_weights: Any,
    image: Any,
    mask_image: Any,
    preserve_blocks: Any,
    outpaint: Any,
    codes: Any,
    codebook: int,
    original_size: bool,
    further: Mapping[str, Any],
) -> list[Conditioning]:
    """The conditioning of a call's pictures, `copies` of each row, every edit prepared once.

    An edit has the size that `frames` chooses for its image, unless `height` and `width` say
    otherwise.

    Raises:
        ValueError: lists of different lengths, prompts that are no text, what is no picture,
            weights without references or outside 0..10, codes that are not a grid of the
            `codebook`, a size that is none of the model's, pictures of different sizes, and what
            `edit_canvas` refuses.
    """
    prompts = spread_texts(prompt, rows, "prompt")
    negatives = spread_texts(negative_prompt, rows, "negative_prompt")
    pictures = spread(image, rows, "image")
    masks = spread(mask_image, rows, "mask_image")
    blocks = spread_lists(preserve_blocks, rows, "preserve_blocks")
    added = spread_lists(outpaint, rows, "outpaint")
    known = spread_lists(codes, rows, "codes")
    references = spread_lists(reference_images, rows, "reference_images")
    weights = spread_lists(reference_weights, rows, "reference_weights")
    opened, own = Opened(load_image), Opened(load_original)
    others = {name: spread(value, rows, name) for name, value in further.items()}
    found: list[Conditioning] = []
    for row in range(rows):
        picture = own("image", pictures[row]) if pictures[row] is not None else None
        if masks[row] is not None:
            check_picture("mask_image", masks[row])
        mask, keep = masks[row], None if blocks[row] is None else as_list(blocks[row])
        photograph = None
        if added[row] is not None:
            picture = outpainted(picture, mask, keep)
            own_grid = frames.choose(picture.size).grid
            picture, mask = extend(picture, check_added(added[row]), own_grid)
            known[row] = None
        if picture is not None and original_size:  # the codes are of another part, if of any
            check_blocks(keep, frames.choose(picture.size))
            photograph = prepare(picture, mask, keep, frames)
            picture, mask, keep = photograph.part, photograph.changed, None
            known[row] = None
        given_codes = None if known[row] is None else len(known[row])
        frame = frames.choose(picture.size if picture else None, height, width, given_codes)
        if picture is not None and given_codes is not None:
            check_codes_grid(frames.own_grid(picture.size, given_codes), frame.grid)
        codes_T = None if known[row] is None else check_codes(known[row], frame.grid, codebook)
        check_blocks(keep, frame)
        edit = edit_canvas(picture, mask, keep, frame.grid, frame.size, codes_T, frame.stretch)
        refs = [opened("reference_images", one) for one in as_list(references[row])]
        given = as_list(weights[row]) or [1.0] * len(refs)
        check_weights(given, len(refs))
        more = {name: further_value(name, values[row], opened) for name, values in others.items()}
        one = Conditioning(prompts[row], negatives[row], refs, given, edit, frame, photograph, more)
        found.extend([one] * copies)
    check_one_size([one.frame for one in found])
    return found


def outpainted(picture: Image.Image | None, mask: Any, keep: Any) -> Image.Image:
    """The picture to enlarge. Raises `RequestError` without one, or with more to do than that."""
    if picture is None:
        raise RequestError("outpaint: needs the image that is made larger; give an image too")
    if mask is not None or keep is not None:
        raise RequestError("got outpaint beside mask_image or preserve_blocks; give one of them")
    return picture


def check_blocks(blocks: Sequence[Any] | None, frame: Frame) -> None:
    """Raise `RequestError` for what is no block of a picture of this size."""
    for block in blocks or ():
        check_integer("preserve_blocks", block, 0, frame.cells - 1)


def further_value(name: str, value: Any, opened: Opened) -> Any:
    """A further control's value for one picture: its text, its picture opened, or None."""
    if value is None:
        return None
    if CONTROLS[name].kind == "picture":
        return opened(name, value)
    return check_text(name, value)


def check_further(given: Mapping[str, Any]) -> dict[str, Any]:
    """The further controls of a call. Raises `TypeError` for a keyword that is none."""
    known = further_controls()
    for name in given:
        if name not in known:
            raise TypeError(f"UFCPipeline got an unexpected keyword argument {name!r}")
    return {
        name: plain(value) if known[name].kind == "text" else value for name, value in given.items()
    }


def check_one_size(frames: Sequence[Frame]) -> None:
    """Raise `ValueError` unless all pictures of a call have one size: they are one batch."""
    grids = sorted({frame.grid for frame in frames})
    if len(grids) > 1:
        got = ", ".join(f"{rows} x {columns}" for rows, columns in grids)
        raise ValueError(
            f"the pictures of this call have different grids, {got} blocks: give height and "
            "width, or call once for each shape"
        )


def count_rows(
    copies: int, entries: Sequence[Any], lists: Sequence[Any], chance: Sequence[Any]
) -> int:
    """How many rows of `copies` pictures a call asks for: the length of its lists.

    Args:
        copies: pictures a row.
        entries: arguments whose lists have an entry a row.
        lists: those that are lists for one row already; a list of lists is a batch.
        chance: seeds and generators, whose lists have one a row or one a picture.

    Raises:
        ValueError: lists that are empty or of different lengths, or no copies.
    """
    if copies < 1:
        raise ValueError(f"num_images_per_prompt is {copies}, wanted 1 or more")
    lengths = {len(value) for value in entries if is_list(value)}
    lengths |= {len(value) for value in lists if is_batch(value)}
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
        steps=config.num_inference_steps,
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


def spread_texts(value: Any, rows: int, name: str) -> list[str | None]:
    """One text, or None, a picture. Raises `RequestError` for what is no text."""
    texts = spread(value, rows, name)
    return [None if text is None else check_text(name, text) for text in texts]


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


class Opened:
    """Pictures as a file's would be: upright, 8-bit RGB, alpha on white; each made once a call.

    `load` is `ufc_base.images.load_image`, or `load_original`.
    """

    def __init__(self, load: Callable[[Any], Image.Image]) -> None:
        self.load = load
        self.made: dict[int, Image.Image] = {}

    def __call__(self, name: str, picture: Any) -> Image.Image:
        """Raise `ValueError` where it is no picture, or one that cannot be read."""
        check_picture(name, picture)
        if id(picture) not in self.made:
            try:
                self.made[id(picture)] = self.load(picture)
            except ImageError as error:
                raise ImageError(f"{name}: {str(error).removeprefix('image: ')}") from None
        return self.made[id(picture)]


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
    """A seed for every picture: each row counts up from its own, drawn where none was given.

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
    given = as_list(generator)
    if len(given) == len(seeds):
        return given
    if len(given) != 1:
        raise ValueError(f"got {len(given)} generators for {len(seeds)} pictures: give one each")
    drawn = torch.randint(2**62, (len(seeds),), generator=given[0]).tolist()
    return [torch.Generator().manual_seed(seed) for seed in drawn]
