"""What is requested and what came of it: `Request` and `Result`, plain data, JSON both ways.

The editor saves requests, the command line reads them and every picture embeds its own, so that
it can be made again. Everything here is checked on construction; nothing here needs torch.

Blocks are the cells of the model's token grid, counted row by row from 0 at the top left;
`preserve_blocks` lists the blocks to keep.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from ufc.conditioning.conditioning import (
    Conditioning,
    control_fields,
    picture_kinds,
    request_controls,
)
from ufc.conditioning.kinds import (
    MAX_BLOCKS,
    Place,
    Reference,
    check_added,
    format_blocks,
    parse_blocks,
)
from ufc.conditioning.text import normalise
from ufc.io.validation import (
    AllKeptError,
    NothingAskedError,
    RequestError,
    check_id,
    check_integer,
    check_number,
    check_output,
    check_range,
    check_text,
    listed,
    refuse_unknown,
    shown,
)
from ufc.sampling.generation_config import REQUEST_SETTINGS, GenerationConfig, current_names
from ufc.sampling.seeds import MAX_SEED, count_up

__all__ = [
    "MAX_SEED",
    "Reference",
    "Request",
    "RequestError",
    "Result",
    "Row",
    "check_added",
    "format_blocks",
    "parse_blocks",
]

LANGUAGES = ("en", "zh")
STATUSES = ("pending", "done", "failed")


@dataclass(frozen=True, init=False)
class Request:
    """One line of a prompts file: the conditioning, the settings, how many pictures.

    Controls and settings are read and given by their own names too, `request.prompt` and
    `Request(prompt="coat", seed=1)`; those given go before the two models'. None means "not set":
    the command line's flags, then the checkpoint's own defaults, decide. White in a mask (after
    `invert_mask`) is regenerated, black is kept. `expand_prompt` names a chat model that is to
    rewrite the prompt, `expanded_prompt` is what it made of it, used in its place and without the
    model. Picture `i` of a request uses seed `seed + i`.

    Raises:
        RequestError: an ill-typed or out-of-range field; blocks or a mask without an image. What
            is left open may be filled in, so `check_controls` says whether anything is missing.
    """

    id: str | None
    conditioning: Conditioning
    expand_prompt: str | None
    expanded_prompt: str | None
    lang: str | None
    settings: GenerationConfig
    output: str | None

    def __init__(
        self,
        *,
        id: str | None = None,
        conditioning: Conditioning | None = None,
        expand_prompt: str | None = None,
        expanded_prompt: str | None = None,
        lang: str | None = None,
        settings: GenerationConfig | None = None,
        output: str | None = None,
        **given: Any,
    ) -> None:
        known = control_fields()
        controls = {name: given.pop(name) for name in list(given) if name in known}
        if controls or conditioning is None:
            conditioning = Conditioning(
                **(conditioning.present() if conditioning else {}) | controls
            )
        if given or settings is None:
            settings = GenerationConfig(**(settings.explicit() if settings else {}) | given)
        for name, value in (
            ("id", id), ("conditioning", conditioning), ("expand_prompt", expand_prompt),
            ("expanded_prompt", expanded_prompt), ("lang", lang), ("settings", settings),
            ("output", output),
        ):  # fmt: skip
            object.__setattr__(self, name, value)
        if id is not None:
            check_id(id)
        for name in ("expand_prompt", "expanded_prompt"):
            if getattr(self, name) is not None:
                check_text(name, getattr(self, name))
        if expanded_prompt and not conditioning.prompt:
            raise RequestError("expanded_prompt: needs the prompt it is made from; give one too")
        if lang is not None and lang not in LANGUAGES:
            raise RequestError(f"lang: got {shown(lang)}, wanted one of {listed(LANGUAGES)}")
        if output is not None:
            check_output(output)
        conditioning.check_request(whole=True)  # a strength may be filled in: `check_controls`
        if settings.seed is not None:
            count_up(settings.seed, settings.num_images_per_prompt)

    def __getattr__(self, name: str) -> Any:
        """A control, or a setting; None for what is not set."""
        if name in control_fields():
            return getattr(self.conditioning, name, None)
        if name in REQUEST_SETTINGS:
            return self.settings.explicit().get(name)
        raise AttributeError(f"a request has no {name!r}")

    @classmethod
    def from_json(cls, value: object) -> Request:
        """From a JSON object; unknown and ill-typed fields are errors.

        `preserve_blocks` may be a list of numbers or text such as "0-47,60"; a number given as
        `id` is taken as text; null means "not set"; old names of settings are understood.
        """
        if not isinstance(value, Mapping):
            raise RequestError(f"got {shown(value)}, wanted a JSON object with fields")
        controls = request_controls()
        value = current_names(value)
        refuse_unknown(value, request_names(), "request")
        data = {name: item for name, item in value.items() if item is not None}
        if isinstance(data.get("id"), int) and not isinstance(data["id"], bool):
            data["id"] = str(data["id"])
        for name in data.keys() & controls.keys():
            data[name] = controls[name].kind.from_json(name, data[name])
        return cls(**data)

    def to_json(self, place: Place = str) -> dict[str, Any]:
        """A JSON object with the fields that say something; `from_json` gives the same back.

        Files stand as `place(path)`: by their path, or what a picture or manifest says of them.
        """
        kinds, controls = picture_kinds(), self.conditioning.present()
        for name, value in controls.items():
            if name in kinds:
                controls[name] = kinds[name].to_json(value, place)
            elif isinstance(value, tuple):
                controls[name] = list(value)
        own = ("id", "lang", "expand_prompt", "expanded_prompt")
        data = {name: getattr(self, name) for name in own} | controls | self.settings.explicit()
        data["output"] = self.output
        return {name: value for name, value in data.items() if value is not None}

    @property
    def used_prompt(self) -> str | None:
        """The words that the picture is generated from."""
        return self.expanded_prompt or self.conditioning.prompt

    def changed(self, **fields: Any) -> Request:
        """The request with other fields, controls and settings by their own names among them."""
        return replace(self, **fields)

    def with_pictures(self, place: Callable[[str], str]) -> Request:
        """The same request with each of its files at `place(path)`."""
        return replace(self, conditioning=self.conditioning.with_pictures(place))

    def check_controls(self) -> None:
        """Raise `RequestError` where there is nothing to go by, no image to change, or an image of
        which nothing says what to keep."""
        given = self.conditioning.present().keys() - {"negative_prompt"}
        if not given - {"prompt"} and not normalise(self.conditioning.prompt or ""):
            raise NothingAskedError(
                "nothing says what to generate: give a prompt, a reference image or an image "
                "to edit"
            )
        if self.settings.strength is not None and self.conditioning.image is None:
            raise RequestError("strength: needs the image that it changes; give an image too")
        self.conditioning.check_request(whole=self.settings.strength is not None)

    def check_blocks(self, num_blocks: int) -> None:
        """Raise `RequestError` for blocks outside 0..num_blocks-1, or where all are kept."""
        blocks = self.conditioning.preserve_blocks
        if blocks:
            check_range(blocks, num_blocks)
            if len(blocks) == num_blocks:
                raise AllKeptError(
                    f"preserve_blocks: all {num_blocks} blocks are kept, so there is nothing "
                    "to generate; leave some out"
                )


def request_names() -> tuple[str, ...]:
    """The fields of a request in a file."""
    words = "expand_prompt", "expanded_prompt"
    return ("id", *request_controls(), *words, "lang", *REQUEST_SETTINGS, "output")


@dataclass(frozen=True)
class Result:
    """What came of one picture of a request: the further fields of its manifest line.

    `seed` is the picture's own; compliance and fidelity are 0..1, and so are further `scores` by
    name; `seconds` is its share of the time of its batch; `steps` counts those run; `group` names
    its batch; `inputs` is what `ufc.io.inputs.input_digest` makes of its files, by which `--resume`
    knows them again.
    """

    file_name: str
    status: str = "pending"
    seed: int | None = None
    index: int = 0
    compliance: float | None = None
    fidelity: float | None = None
    scores: Mapping[str, float | None] | None = None
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
        for name in ("backend", "versions", "scores"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, Mapping):
                raise RequestError(f"{name}: got {shown(value)}, wanted an object")
        for score in (self.scores or {}).values():
            if score is not None:
                check_number("scores", score, -math.inf, math.inf)
        for name in ("model", "group", "inputs", "error"):
            if getattr(self, name) is not None:
                check_text(name, getattr(self, name))
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


@dataclass(frozen=True)
class Row:
    """A request, the line it is from, and where it is for one picture alone what came of that.

    Lines of a manifest have a result, and so have the pictures that `ufc.io.batch_plan.plan` makes
    of the others: `result.index` and `result.group` say which it is and what it is generated
    together with.
    """

    request: Request
    where: str
    result: Result | None = None

    @property
    def picture(self) -> Result:
        """The result of a row that is one picture."""
        assert self.result is not None
        return self.result

    def of(self, message: str) -> str:
        """A message with the line that it is about, where there is one."""
        return f"{self.where}: {message}" if self.where else message

    def changed(self, **fields: Any) -> Row:
        """The row with other fields of its request."""
        return replace(self, request=self.request.changed(**fields))
