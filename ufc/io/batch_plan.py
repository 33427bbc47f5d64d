"""From requests to single pictures: seeds, file names, and which are generated together.

What is generated together is settled over the full list, done or not: float rounding depends on the
size of a batch, so a run that is resumed must form the same batches to give the same pixels.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import PurePosixPath
from typing import Any

from ufc.io.prompts_file import Row
from ufc.io.validation import RequestError, folded, is_device
from ufc.request import Request
from ufc.sampling.generation_config import SETTINGS
from ufc.sampling.seeds import count_up, random_seed

# What pictures of one batch must have in common.
RECIPE = tuple(
    field.name
    for field in fields(Request)
    if field.name in SETTINGS and field.name not in ("seed", "num_images_per_prompt")
)
_CONTROLS_OF_AN_EDIT = ("image", "mask_image", "invert_mask", "preserve_blocks", "outpaint")


@dataclass(frozen=True)
class Job:
    """One picture to generate: a request with its own seed, for one image.

    `index` counts the pictures of the request it came from, `where` names its line for messages,
    `group` the batch it was generated in when a manifest is fed back.
    """

    request: Request
    file_name: str
    index: int
    where: str
    group: str | None = None


def with_defaults(request: Request, defaults: Request) -> Request:
    """The request, with what it leaves open taken from `defaults`.

    The image, its mask and its blocks go together: they are taken over as one or not at all.
    """
    together = (*_CONTROLS_OF_AN_EDIT, "controls")
    names = [field.name for field in fields(Request) if field.name not in together]
    if request.image is None:
        names.extend(_CONTROLS_OF_AN_EDIT)
    changes = {name: getattr(defaults, name) for name in names if _open(getattr(request, name))}
    return replace(request, **changes, controls={**defaults.controls, **request.controls})


def with_recipe(job: Job, defaults: Mapping[str, Any]) -> Job:
    """The job, with what its recipe leaves open taken from a checkpoint's own `defaults`."""
    changes = {
        name: defaults[name]
        for name in RECIPE
        if getattr(job.request, name) is None and defaults.get(name) is not None
    }
    return replace(job, request=replace(job.request, **changes))


def plan(
    rows: Iterable[Row],
    *,
    suffix: str | None = None,
    known_seeds: Mapping[str, int] | None = None,
    new_seed: Callable[[], int] | None = None,
) -> list[Job]:
    """One job for every picture, in order, with seeds and file names settled.

    Picture `i` of a request has seed `seed + i` and the name `{id}-{seed}-{i}{suffix}`, or the
    request's own `output` (numbered where there are several). Without a seed the one in
    `known_seeds` (by id) is used, or else a random one. Lines of a manifest keep their names
    unless another suffix is asked for.

    Raises:
        RequestError: two pictures would have the same name on some system, or one the name of
            another's folder.
    """
    jobs: list[Job] = []
    for row in rows:
        jobs.extend(
            _manifest_jobs(row, suffix) if row.result else _jobs(row, suffix, known_seeds, new_seed)
        )
    seen: dict[str, Job] = {}
    for job in jobs:
        other = seen.setdefault(folded(job.file_name), job)
        if other is not job:
            raise RequestError(
                f"{job.where}: its picture {job.file_name} would have the name of another "
                f"({other.where}); give it its own id or output"
            )
    for job in jobs:
        for parent in PurePosixPath(folded(job.file_name)).parents:
            if str(parent) in seen:
                raise RequestError(
                    f"{job.where}: its picture {job.file_name} would lie in a folder that has the "
                    f"name of another picture ({seen[str(parent)].where}); give it its own output"
                )
    return jobs


def form_batches(jobs: Sequence[Job], batch_size: int | None) -> list[list[Job]]:
    """Consecutive jobs that share a recipe, at most `batch_size` of them together.

    With None the groups that a manifest recorded are formed again, and other jobs stand alone.
    """
    batches: list[list[Job]] = []
    for job in jobs:
        last = batches[-1] if batches else []
        if last and _may_join(job, last, batch_size):
            last.append(job)
        else:
            batches.append([job])
    return batches


def agreed_seed(run: str, name: str) -> int:
    """A seed that all processes of a run find for a request without one: 0..2^32-1.

    Raises:
        RequestError: the run has no name of its own, so that the next would generate the same.
    """
    if run in ("", "none"):  # torchrun's name for all runs that are given none
        raise RequestError(
            f"{name!r} has no seed, and processes of a run without an id cannot agree on a random "
            "one: give --seed, seeds in the prompts file, or --rdzv-id to torchrun"
        )
    return int.from_bytes(hashlib.sha256(f"{run}/{name}".encode()).digest()[:4])


def name_of(request: Request) -> str:
    """The id of a request, or one made of its prompt."""
    return request.id or name_from_prompt(request.prompt)


def name_from_prompt(prompt: str | None) -> str:
    """An id for a picture asked for without one: the first words of its prompt."""
    words = re.sub(r"[^\w]+", "-", (prompt or "").lower()).strip("-_")
    while len(words.encode()) > 48:
        words = words[:-1]
    name = words.strip("-_") or "picture"
    return f"picture-{name}" if is_device(name) else name


def edit_of(request: Request) -> tuple[Any, ...]:
    """What of an image is edited."""
    return tuple(getattr(request, name) for name in _CONTROLS_OF_AN_EDIT)


def _may_join(job: Job, batch: Sequence[Job], batch_size: int | None) -> bool:
    first = batch[0]
    if any(getattr(job.request, name) != getattr(first.request, name) for name in RECIPE):
        return False
    if job.request.original_size and edit_of(job.request) != edit_of(first.request):
        return False  # each has a part, and so a shape, of its own
    if batch_size is None:
        return job.group is not None and job.group == first.group
    return len(batch) < batch_size


def _jobs(
    row: Row,
    suffix: str | None,
    known_seeds: Mapping[str, int] | None,
    new_seed: Callable[[], int] | None,
) -> list[Job]:
    request = row.request
    name = name_of(request)
    seed = request.seed
    if seed is None:
        seed = (known_seeds or {}).get(name)
    if seed is None:
        seed = (new_seed or random_seed)()
    count = request.num_images_per_prompt or 1
    jobs = []
    for index, own in enumerate(count_up(seed, count)):
        if request.output is None:
            file_name, output = f"{name}-{own}-{index}{suffix or '.png'}", None
        else:
            path = PurePosixPath(request.output)
            number = f"-{index}" if count > 1 else ""
            file_name = output = str(path.with_name(path.stem + number + path.suffix))
        one = replace(request, id=name, seed=own, num_images_per_prompt=1, output=output)
        jobs.append(Job(one, file_name, index, row.where))
    return jobs


def _manifest_jobs(row: Row, suffix: str | None) -> list[Job]:
    assert row.result is not None
    file_name = row.result.file_name
    if suffix is not None and row.request.output is None:
        file_name = str(PurePosixPath(file_name).with_suffix(suffix))
    request = replace(row.request, num_images_per_prompt=1)
    if request.seed is None:
        raise RequestError(f"{row.where}: this manifest line has no seed")
    return [Job(request, file_name, row.result.index, row.where, row.result.group)]


def _open(value: object) -> bool:
    return value is None or value == () or value is False
