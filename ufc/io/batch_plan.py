"""From requests to single pictures: seeds, file names, and which are generated together.

What is generated together is settled over the full list, done or not: float rounding depends on the
size of a batch, so a run that is resumed must form the same batches to give the same pixels.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from ufc.conditioning.conditioning import OF_AN_EDIT, Conditioning
from ufc.io.validation import RequestError, is_device
from ufc.request import Request, Result, Row
from ufc.sampling.generation_config import BATCH_SETTINGS, GenerationConfig
from ufc.sampling.seeds import count_up, random_seed
from ufc_base.files import folded

_EDIT = ("image", "invert_mask", *OF_AN_EDIT)


def with_defaults(request: Request, defaults: Request) -> Request:
    """The request, with what it leaves open taken from `defaults`.

    The image, its mask and its blocks go together: they are taken over as one or not at all.
    """
    controls = defaults.conditioning.present()
    if request.conditioning.image is not None:
        controls = {k: value for k, value in controls.items() if k not in _EDIT}
    return replace(
        request,
        id=request.id or defaults.id,
        conditioning=Conditioning(**controls | request.conditioning.present()),
        expand_prompt=request.expand_prompt or defaults.expand_prompt,
        lang=request.lang or defaults.lang,
        settings=GenerationConfig.over(defaults.settings.explicit(), request.settings.explicit()),
        output=request.output or defaults.output,
    )


def with_model_defaults(row: Row, defaults: Mapping[str, Any]) -> Row:
    """The row, with the settings that it leaves open taken from a checkpoint's own `defaults`."""
    return row.changed(settings=GenerationConfig.over(defaults, row.request.settings.explicit()))


def plan(
    rows: Iterable[Row],
    *,
    suffix: str | None = None,
    known_seeds: Mapping[str, int] | None = None,
    new_seed: Callable[[], int] = random_seed,
    groups: Mapping[str, str | None] | None = None,
) -> list[Row]:
    """One row for every picture, in order, with seeds and file names settled.

    Picture `i` of a request has seed `seed + i` and the name `{id}-{seed}-{i}{suffix}`, or the
    request's own `output` (numbered where there are several). Without a seed the one in
    `known_seeds` (by id) is used, or else a random one. Lines of a manifest keep their names
    unless another suffix is asked for. `groups` has by file name what was generated together
    before.

    Raises:
        RequestError: two pictures would have the same name on some system, or one the name of
            another's folder.
    """
    seeds = known_seeds or {}
    pictures = [
        replace(one, result=replace(one.picture, group=group)) if group else one
        for row in rows
        for one in (_again(row, suffix) if row.result else _new(row, suffix, seeds, new_seed))
        for group in [(groups or {}).get(one.picture.file_name)]
    ]
    seen: dict[str, Row] = {}
    for one in pictures:
        name = one.picture.file_name
        other = seen.setdefault(folded(name), one)
        if other is not one:
            raise RequestError(
                f"{one.where}: its picture {name} would have the name of another "
                f"({other.where}); give it its own id or output"
            )
    for one in pictures:
        name = one.picture.file_name
        for parent in PurePosixPath(folded(name)).parents:
            if str(parent) in seen:
                raise RequestError(
                    f"{one.where}: its picture {name} would lie in a folder that has the "
                    f"name of another picture ({seen[str(parent)].where}); give it its own output"
                )
    return pictures


def form_batches(rows: Sequence[Row], batch_size: int | None) -> list[list[Row]]:
    """Consecutive pictures that share their settings, at most `batch_size` of them together.

    With None the groups that a manifest recorded are formed again, and other pictures stand alone.
    Their `group` is the one recorded for all, or a new one.
    """
    batches: list[list[Row]] = []
    for row in rows:
        last = batches[-1] if batches else []
        if last and _may_join(row, last, batch_size):
            last.append(row)
        else:
            batches.append([row])
    run, named = secrets.token_hex(3), dict[str, list[Row]]()
    for number, batch in enumerate(batches):
        recorded = {one.picture.group for one in batch}
        name = recorded.pop() if len(recorded) == 1 else None
        group = f"{run}-{number}" if name is None or name in named else name
        named[group] = [replace(one, result=replace(one.picture, group=group)) for one in batch]
    return list(named.values())


def first_seeds(lines: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """The seed of each request's first picture, by id, from the lines of a manifest."""
    return {
        line["id"]: line["seed"] - line.get("index", 0)
        for line in lines
        if isinstance(line.get("seed"), int) and isinstance(line.get("id"), str)
    }


def agreed_seeds(rows: Iterable[Row], run: str, known: Mapping[str, int]) -> dict[str, int]:
    """The `known` seeds, and for each other request without one what all processes find."""
    requests = [row.request for row in rows if row.request.seed is None]
    names = {one.id or name_from_prompt(one.prompt) for one in requests} - known.keys()
    return {**known, **{name: agreed_seed(run, name) for name in sorted(names)}}


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


def name_from_prompt(prompt: str | None) -> str:
    """An id for a picture asked for without one: the first words of its prompt."""
    words = re.sub(r"[^\w]+", "-", (prompt or "").lower()).strip("-_")
    while len(words.encode()) > 48:
        words = words[:-1]
    name = words.strip("-_") or "picture"
    return f"picture-{name}" if is_device(name) else name


def batch_settings(request: Request) -> dict[str, Any]:
    """What pictures of one batch must have in common."""
    return {k: v for k, v in request.settings.explicit().items() if k in BATCH_SETTINGS}


def edit_of(request: Request) -> dict[str, Any]:
    """What of an image is edited."""
    return {k: v for k, v in request.conditioning.present().items() if k in _EDIT}


def _may_join(row: Row, batch: Sequence[Row], batch_size: int | None) -> bool:
    first = batch[0]
    if batch_settings(row.request) != batch_settings(first.request):
        return False
    if row.request.original_size and edit_of(row.request) != edit_of(first.request):
        return False  # each has a part, and so a shape, of its own
    if batch_size is None:
        return row.picture.group is not None and row.picture.group == first.picture.group
    return len(batch) < batch_size


def _new(
    row: Row, suffix: str | None, known_seeds: Mapping[str, int], new_seed: Callable[[], int]
) -> list[Row]:
    """The pictures of a request."""
    request = row.request
    name = request.id or name_from_prompt(request.prompt)
    seed = request.settings.seed
    if seed is None:
        seed = known_seeds[name] if name in known_seeds else new_seed()
    count = request.settings.num_images_per_prompt
    rows = []
    for index, own in enumerate(count_up(seed, count)):
        if request.output is None:
            file_name, output = f"{name}-{own}-{index}{suffix or '.png'}", None
        else:
            path = PurePosixPath(request.output)
            number = f"-{index}" if count > 1 else ""
            file_name = output = str(path.with_name(path.stem + number + path.suffix))
        one = row.changed(id=name, seed=own, num_images_per_prompt=1, output=output)
        rows.append(replace(one, result=Result(file_name, seed=own, index=index)))
    return rows


def _again(row: Row, suffix: str | None) -> list[Row]:
    """A line of a manifest as a picture to generate: what came of it is open again."""
    old, file_name = row.picture, row.picture.file_name
    if row.request.settings.seed is None:
        raise RequestError(f"{row.where}: this manifest line has no seed")
    if suffix is not None and row.request.output is None:
        file_name = str(PurePosixPath(file_name).with_suffix(suffix))
    seed = row.request.settings.seed
    result = Result(file_name, seed=seed, index=old.index, group=old.group)
    return [replace(row.changed(num_images_per_prompt=1), result=result)]
