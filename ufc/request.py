"""What is asked for and what came of it: `Request` and `Result`, plain data, JSON both ways.

The editor saves requests, the command line reads them and every picture embeds its own, so that
it can be made again. Everything here is checked on construction; nothing here needs torch.

Blocks are the cells of the model's token grid, counted row by row from 0 at the top left;
`preserve_blocks` lists the blocks to keep.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ufc.conditioning.controls import further_controls
from ufc.conditioning.normalise import normalise
from ufc.io.validation import (
    AllKeptError,
    RequestError,
    check_id,
    check_integer,
    check_number,
    check_output,
    check_path,
    check_range,
    check_text,
    listed,
    refuse_unknown,
    shortened,
    shown,
)
from ufc.sampling.generation_config import SETTINGS, check_settings, current_names
from ufc.sampling.seeds import MAX_SEED, count_up

__all__ = [
    "MAX_SEED",
    "Reference",
    "Request",
    "RequestError",
    "Result",
    "format_blocks",
    "parse_blocks",
]

LANGUAGES = ("en", "zh")
STATUSES = ("pending", "done", "failed")
MAX_BLOCKS = 2**16
MOST_ADDED = 32  # blocks on a side, by outpainting

_TEXTS = ("prompt", "negative_prompt", "output")
_PATHS = ("image", "mask_image")


@dataclass(frozen=True)
class Reference:
    """A reference image and how much it counts.

    Raises:
        RequestError: an ill-typed path, or a weight outside 0 < weight <= 10.
    """

    path: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_path("reference_images path", self.path)
        if not self.path:
            raise RequestError("reference_images: got an empty path, wanted a picture file")
        check_number("reference_images weight", self.weight, 0.0, 10.0)
        if self.weight == 0:
            raise RequestError("reference_images: got weight 0; leave the reference out instead")

    @classmethod
    def from_json(cls, value: object) -> Reference:
        """From `"path"` or `{"path": …, "weight": …}`."""
        if isinstance(value, Mapping):
            refuse_unknown(value, ("path", "weight"), "reference_images")
            if "path" not in value:
                raise RequestError("reference_images: an entry has no path")
            return cls(**value)
        return cls(value)  # type: ignore[arg-type]  # checked on construction

    def to_json(self) -> str | dict[str, Any]:
        """The path alone where the weight is 1."""
        return self.path if self.weight == 1 else {"path": self.path, "weight": self.weight}


@dataclass(frozen=True)
class Request:
    """One line of a prompts file: which controls, which recipe, how many pictures.

    None means "not said": the command line's flags, then the checkpoint's own defaults, decide.
    `controls` are further controls by name (`ufc.conditioning.controls`), a picture by its path;
    in JSON they are fields like any other. White in a mask (after `invert_mask`) is generated
    anew, black is kept. Picture `i` of a request uses seed `seed + i`.

    Raises:
        RequestError: an ill-typed or out-of-range field; blocks or a mask without an image.
    """

    id: str | None = None
    prompt: str | None = None
    negative_prompt: str | None = None
    lang: str | None = None
    reference_images: tuple[Reference, ...] = ()
    image: str | None = None
    mask_image: str | None = None
    invert_mask: bool = False
    preserve_blocks: tuple[int, ...] | None = None
    outpaint: tuple[int, ...] | None = None
    height: int | None = None
    width: int | None = None
    seed: int | None = None
    num_images_per_prompt: int | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    choice_temperature: float | None = None
    num_candidates: int | None = None
    best_of: int | None = None
    compliance_weight: float | None = None
    contrastive_weight: float | None = None
    patience: int | None = None
    time_budget: float | None = None
    order: str | None = None
    feather: int | None = None
    original_size: bool | None = None
    output: str | None = None
    controls: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in self.controls.items():
            check = check_path if further_controls()[name].kind == "picture" else check_text
            check(name, value)
        if self.id is not None:
            check_id(self.id)
        for name in _TEXTS:
            if getattr(self, name) is not None:
                check_text(name, getattr(self, name))
        for name in _PATHS:
            if getattr(self, name) is not None:
                check_path(name, getattr(self, name))
        if self.lang is not None and self.lang not in LANGUAGES:
            raise RequestError(f"lang: got {shown(self.lang)}, wanted one of {listed(LANGUAGES)}")
        settings = {f.name: getattr(self, f.name) for f in fields(self) if f.name in SETTINGS}
        for name, value in check_settings(settings).items():
            object.__setattr__(self, name, value)
        if not isinstance(self.invert_mask, bool):
            raise RequestError(f"invert_mask: got {shown(self.invert_mask)}, wanted true or false")
        if self.seed is not None:
            count_up(self.seed, self.num_images_per_prompt or 1)
        if self.output is not None:
            check_output(self.output)
        self._check_blocks_are_integers()
        self._check_editing()

    def _check_blocks_are_integers(self) -> None:
        for block in self.preserve_blocks or ():
            check_integer("preserve_blocks", block, 0, MAX_BLOCKS - 1)
        if self.outpaint is not None:
            object.__setattr__(self, "outpaint", check_added(self.outpaint))

    def _check_editing(self) -> None:
        if self.invert_mask and not self.mask_image:
            raise RequestError("invert_mask: there is no mask to invert; give a mask_image")
        if self.image is None:
            for name in ("mask_image", "preserve_blocks", "outpaint"):
                if getattr(self, name):
                    raise RequestError(f"{name}: needs the image it belongs to; give an image too")
        elif not self.mask_image and not self.preserve_blocks and not self.outpaint:
            raise RequestError(
                "image: nothing says what to keep of it; give a mask_image, preserve_blocks or "
                "outpaint, or give it as a reference image"
            )
        given = [n for n in ("mask_image", "preserve_blocks", "outpaint") if getattr(self, n)]
        if len(given) > 1:
            raise RequestError(f"got both {' and '.join(given)}; give one of them")

    @classmethod
    def from_json(cls, value: object) -> Request:
        """From a JSON object; unknown and ill-typed fields are errors.

        `preserve_blocks` may be a list of numbers or text such as "0-47,60"; a number given as
        `id` is taken as text; null means "not said"; old names of settings are understood.
        """
        if not isinstance(value, Mapping):
            raise RequestError(f"got {shown(value)}, wanted a JSON object with fields")
        value = current_names(value)
        further = further_controls()
        names = tuple(field.name for field in fields(cls) if field.name != "controls")
        refuse_unknown(value, (*names, *further), "request")
        data = {name: item for name, item in value.items() if item is not None}
        data["controls"] = {name: data.pop(name) for name in further if name in data}
        if isinstance(data.get("id"), int) and not isinstance(data["id"], bool):
            data["id"] = str(data["id"])
        if "reference_images" in data:
            references = data["reference_images"]
            if not isinstance(references, list):
                raise RequestError(f"reference_images: got {shown(references)}, wanted a list")
            data["reference_images"] = tuple(Reference.from_json(item) for item in references)
        if "outpaint" in data:
            data["outpaint"] = check_added(data["outpaint"])
        blocks = data.get("preserve_blocks")
        if isinstance(blocks, str):
            data["preserve_blocks"] = parse_blocks(blocks)
        elif isinstance(blocks, list):
            for block in blocks:
                check_integer("preserve_blocks", block, 0, MAX_BLOCKS - 1)
            data["preserve_blocks"] = tuple(sorted(set(blocks)))
        elif blocks is not None:
            raise RequestError(f'preserve_blocks: got {shown(blocks)}, wanted a list or "0-47,60"')
        return cls(**data)

    def to_json(self) -> dict[str, Any]:
        """A JSON object with the fields that say something; `from_json` gives the same back."""
        data: dict[str, Any] = {}
        for name in (one.name for one in fields(self) if one.name != "controls"):
            value = getattr(self, name)
            if value is not None and value is not False and value != ():
                data[name] = list(value) if isinstance(value, tuple) else value
        if self.reference_images:
            data["reference_images"] = [item.to_json() for item in self.reference_images]
        return data | dict(self.controls)

    @property
    def paths(self) -> list[str]:
        """Every file that it names, in a fixed order."""
        own = [item.path for item in self.reference_images]
        own += [path for path in (self.image, self.mask_image) if path is not None]
        return own + list(self.picture_controls.values())

    @property
    def picture_controls(self) -> dict[str, str]:
        """Further controls that are picture files, by name."""
        known = further_controls()
        return {name: path for name, path in self.controls.items() if known[name].kind == "picture"}

    def with_paths(self, place: Callable[[str], str]) -> Request:
        """The same request with each of its files at `place(path)`."""
        placed = {name: place(path) for name, path in self.picture_controls.items()}
        return replace(
            self,
            reference_images=tuple(
                replace(item, path=place(item.path)) for item in self.reference_images
            ),
            image=self.image and place(self.image),
            mask_image=self.mask_image and place(self.mask_image),
            controls={**self.controls, **placed},
        )

    def check_controls(self) -> None:
        """Raise `RequestError` where there is nothing to go by."""
        own = normalise(self.prompt or "") or self.reference_images or self.image is not None
        if not own and not self.controls:
            raise RequestError(
                "nothing says what to generate: give a prompt, a reference image or an image "
                "to edit"
            )

    def check_blocks(self, num_blocks: int) -> None:
        """Raise `RequestError` for blocks outside 0..num_blocks-1, or where all are kept."""
        if self.preserve_blocks:
            check_range(self.preserve_blocks, num_blocks)
            if len(set(self.preserve_blocks)) == num_blocks:
                raise AllKeptError(
                    f"preserve_blocks: all {num_blocks} blocks are kept, so there is nothing "
                    "to generate; leave some out"
                )


@dataclass(frozen=True)
class Result:
    """What came of one picture of a request: the further fields of its manifest line.

    `seed` is the picture's own; compliance and fidelity are 0..1; `seconds` is its share of the
    time of its batch; `steps` counts those run; `group` names its batch; `inputs`
    is what `ufc.io.inputs.input_digest` makes of its files, by which `--resume` knows them again.
    """

    file_name: str
    status: str = "pending"
    seed: int | None = None
    index: int = 0
    compliance: float | None = None
    fidelity: float | None = None
    seconds: float | None = None
    steps: int | None = None
    model: str | None = None
    backend: Mapping[str, Any] | None = None
    versions: Mapping[str, Any] | None = None
    group: str | None = None
    inputs: str | None = None
    notices: tuple[str, ...] = ()
    error: str | None = None

    def __post_init__(self) -> None:
        check_output(self.file_name, "file_name")
        if self.status not in STATUSES:
            raise RequestError(f"status: got {shown(self.status)}, wanted {listed(STATUSES)}")
        check_integer("index", self.index, 0, 10_000)
        if self.seed is not None:
            check_integer("seed", self.seed, 0, MAX_SEED)
        if self.steps is not None:
            check_integer("steps", self.steps, 0, MAX_BLOCKS)
        for name in ("compliance", "fidelity", "seconds"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), -math.inf, math.inf)
        for name in ("model", "group", "inputs", "error"):
            if getattr(self, name) is not None:
                check_text(name, getattr(self, name))
        for name in ("backend", "versions"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, Mapping):
                raise RequestError(f"{name}: got {shown(value)}, wanted an object")
        for notice in self.notices:
            check_text("notices", notice)

    @classmethod
    def from_json(cls, value: object) -> Result:
        """From a JSON object; unknown and ill-typed fields are errors."""
        if not isinstance(value, Mapping):
            raise RequestError(f"got {shown(value)}, wanted a JSON object with fields")
        refuse_unknown(value, tuple(field.name for field in fields(cls)), "result")
        data = {name: item for name, item in value.items() if item is not None}
        if "file_name" not in data:
            raise RequestError("file_name: is missing from this manifest line")
        if not isinstance(data.get("notices", []), list):
            raise RequestError(f"notices: got {shown(data['notices'])}, wanted a list")
        return cls(**data | {"notices": tuple(data.get("notices", ()))})

    def to_json(self) -> dict[str, Any]:
        """A JSON object with the fields that say something."""
        data = {field.name: getattr(self, field.name) for field in fields(self)}
        data["notices"] = list(self.notices)
        return {name: value for name, value in data.items() if value is not None and value != []}


# What a manifest line has beyond the request; `seed` is in both.
RESULT_FIELDS = frozenset(field.name for field in fields(Result)) - {"seed"}


def check_added(added: object) -> tuple[int, ...]:
    """Blocks that are added at top, right, bottom and left, from four numbers or "0,2,0,2".

    Raises:
        RequestError: not four whole numbers from 0 on, or nothing is added.
    """
    said = added.split(",") if isinstance(added, str) else added
    wanted = f'wanted blocks at top, right, bottom, left, 0 to {MOST_ADDED}, such as "0,2,0,2"'
    if not isinstance(said, list | tuple) or len(said) != 4:
        raise RequestError(f"outpaint: got {shown(added)}, {wanted}")
    counts = []
    for one in said:
        text = one.strip() if isinstance(one, str) else one
        if isinstance(text, str) and text.isascii() and text.isdecimal() and len(text) < 4:
            text = int(text)
        if not isinstance(text, int) or isinstance(text, bool) or not 0 <= text <= MOST_ADDED:
            raise RequestError(f"outpaint: got {shown(added)}, {wanted}")
        counts.append(text)
    if not any(counts):
        raise RequestError(f"outpaint: got {shown(added)}, which adds nothing; {wanted}")
    return tuple(counts)


def parse_blocks(text: str, num_blocks: int | None = None) -> tuple[int, ...]:
    """Blocks from text such as "0-47,60": sorted, each once.

    Raises:
        RequestError: not of that form, or a block outside 0..num_blocks-1.
    """
    limit = MAX_BLOCKS if num_blocks is None else num_blocks
    blocks: set[int] = set()
    for part in text.replace("，", ",").split(","):
        match = re.fullmatch(r"\s*([0-9]{1,9})\s*(?:-\s*([0-9]{1,9})\s*)?", part)
        if match is None:
            raise RequestError(
                f'preserve_blocks: got "{shortened(text)}", '
                "wanted numbers and ranges such as 0-47,60"
            )
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise RequestError(f"preserve_blocks: the range {first}-{last} runs backwards")
        check_range((first, last), limit)
        blocks.update(range(first, last + 1))
    return tuple(sorted(blocks))


def format_blocks(blocks: Iterable[int]) -> str:
    """The shortest text that `parse_blocks` reads back as the same blocks."""
    runs: list[list[int]] = []
    for block in sorted(set(blocks)):
        if runs and block == runs[-1][1] + 1:
            runs[-1][1] = block
        else:
            runs.append([block, block])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
