"""The arguments of a pipeline call, spread over its pictures.

One value serves every picture; a list has an entry for each. What is already a list for one
picture (references, blocks) becomes a batch as a list of lists.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ufc.canvas import EditCanvas, edit_canvas
from ufc.sampler import SamplerConfig


@dataclass(frozen=True)
class Job:
    """One picture to make."""

    prompt: str | None
    negative_prompt: str | None
    references: Sequence[Image.Image]
    reference_weights: Sequence[float]
    edit: EditCanvas | None
    seed: int | None


def make_jobs(
    count: int,
    copies: int,
    grid: int,
    resolution: int,
    *,
    prompt: Any,
    negative_prompt: Any,
    reference_images: Any,
    reference_weights: Any,
    image: Any,
    mask_image: Any,
    preserve_blocks: Any,
    codes: Any,
    codebook: int,
    seed: Any,
    generator: Any,
) -> list[Job]:
    """The pictures of a call, `copies` of each row, every edit prepared once.

    Raises `ValueError` for lists of different lengths, weights without references, codes that are
    not a grid of the `codebook`, and what `edit_canvas` refuses.
    """
    rows = count // copies
    prompts = spread(prompt, rows, "prompt")
    negatives = spread(negative_prompt, rows, "negative_prompt")
    pictures = spread(image, rows, "image")
    masks = spread(mask_image, rows, "mask_image")
    blocks = spread_lists(preserve_blocks, rows, "preserve_blocks")
    known = spread_lists(as_rows(codes), rows, "codes")
    references = spread_lists(reference_images, rows, "reference_images")
    weights = spread_lists(reference_weights, rows, "reference_weights")
    seeds = spread_seeds(seed, rows, copies, generator)
    jobs = []
    for row in range(rows):
        codes_T = None if known[row] is None else check_codes(known[row], grid, codebook)
        edit = edit_canvas(pictures[row], masks[row], blocks[row], grid, resolution, codes_T)
        refs = as_list(references[row])
        given = as_list(weights[row]) or [1.0] * len(refs)
        if len(given) != len(refs):
            raise ValueError(
                f"got {len(refs)} reference images and {len(given)} weights: give one each"
            )
        for copy in range(copies):
            seed_of_copy = seeds[row * copies + copy]
            jobs.append(Job(prompts[row], negatives[row], refs, given, edit, seed_of_copy))
    return jobs


def count_pictures(*arguments: Any) -> int:
    """How many pictures a call asks for: the length of its lists.

    References, blocks and codes are lists for one picture already; a list of lists makes a batch.
    """
    prompt, image, blocks, references, codes, seed, generator = arguments
    lengths = {len(value) for value in (prompt, image, seed, generator) if is_list(value)}
    for nested in (blocks, references, as_rows(codes)):
        if is_list(nested) and any(is_list(entry) or entry is None for entry in nested):
            lengths.add(len(nested))
    lengths.discard(1)
    if len(lengths) > 1:
        raise ValueError(f"the lists of this call have different lengths: {sorted(lengths)}")
    return lengths.pop() if lengths else 1


def said_over(defaults: Mapping[str, Any], **said: Any) -> dict[str, Any]:
    """The model's own defaults, with what a call said in their place."""
    return {**defaults, **{name: value for name, value in said.items() if value is not None}}


def sampler_config(
    said: Mapping[str, Any],
    patience: int | None,
    time_budget: float | None,
    score_steps: bool,
) -> SamplerConfig:
    """The sampler's settings, from what `said_over` gives and what has no default."""
    return SamplerConfig(
        order=said["order"],
        steps=said["num_inference_steps"],
        candidates=said["num_candidates"],
        temperature=said["temperature"],
        choice_temperature=said["choice_temperature"],
        patience=patience,
        time_budget=time_budget,
        compliance_weight=said["compliance_weight"],
        score_steps=score_steps,
    )


def is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


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
    if is_list(value) and any(is_list(entry) or entry is None for entry in value):
        return spread(value, rows, name)
    return [value] * rows


def as_rows(codes: Any) -> Any:
    """Codes as plain lists, from a tensor, a list of tensors or lists already."""
    if isinstance(codes, Tensor):
        return codes.tolist()
    if is_list(codes):
        return [entry.tolist() if isinstance(entry, Tensor) else entry for entry in codes]
    return codes


def check_codes(codes: Sequence[int], grid: int, codebook: int) -> Tensor:
    """The codes of one grid, (T,) int64.

    Raises `ValueError` where they are too many, too few, or not of the codebook.
    """
    if len(codes) != grid * grid:
        raise ValueError(f"got {len(codes)} codes, wanted the {grid * grid} of a whole grid")
    if not all(0 <= code < codebook for code in codes):
        raise ValueError(f"codes must be 0 to {codebook - 1}: these are of another model")
    return torch.tensor(codes, dtype=torch.int64)


def as_list(value: Any) -> list[Any]:
    """A list of what may be missing, a single thing or several."""
    if value is None:
        return []
    return list(value) if is_list(value) else [value]


def spread_seeds(seed: Any, rows: int, copies: int, generator: Any) -> list[int | None]:
    """A seed for every picture; drawn where none was given."""
    count = rows * copies
    if generator is not None:
        if seed is not None:
            raise ValueError("got both seed and generator: give one of them")
        return [None] * count
    if seed is None:
        return [random.SystemRandom().randrange(2**31) for _ in range(count)]
    if is_list(seed):
        if len(seed) == count:
            return list(seed)
        return [s + copy for s in spread(seed, rows, "seed") for copy in range(copies)]
    return [seed + copy for copy in range(count)]


def make_generators(jobs: Sequence[Job], generator: Any) -> list[torch.Generator]:
    """A CPU generator for each picture, so that none depends on its batch."""
    if generator is None:
        return [torch.Generator().manual_seed(job.seed or 0) for job in jobs]
    given = list(generator) if is_list(generator) else [generator]
    if len(given) == len(jobs):
        return given
    if len(given) != 1:
        raise ValueError(f"got {len(given)} generators for {len(jobs)} pictures: give one each")
    seeds = torch.randint(2**62, (len(jobs),), generator=given[0]).tolist()
    return [torch.Generator().manual_seed(seed) for seed in seeds]
